// A sign-in link has its code in the fragment, which is never sent to a server or written to a log.

import { call } from "./api.js";
import { make } from "./dom.js";

async function useLink(code) {
  const working = document.querySelector("[data-working]");
  const message = document.querySelector("[data-message]");
  // The code works only once, so keep it out of the history.
  history.replaceState(null, "", location.pathname);
  working.textContent = "Signing in…";
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
// Opening a link while this page is open changes only the fragment and does not reload the page.
addEventListener("hashchange", start);
