// A sign-in link carries its code in the fragment, which no server and no log ever sees.

import { call } from "./api.js";
import { make } from "./dom.js";

async function useLink(code) {
  const working = document.querySelector("[data-working]");
  const message = document.querySelector("[data-message]");
  // It works once; it should not stay in the history.
  history.replaceState(null, "", location.pathname);
  working.textContent = "Signing in …";
  try {
    const answer = await call("/admin/sign-in/code", { method: "POST", body: { code } });
    location.replace(answer.next);
  } catch (problem) {
    working.textContent = "";
    message.replaceChildren(
      make("p", { class: "note bad" }, problem.message, " ", problem.advice),
    );
  }
}

function start() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) useLink(code);
}

start();
// A link opened where this page already is changes the fragment and loads nothing.
addEventListener("hashchange", start);
