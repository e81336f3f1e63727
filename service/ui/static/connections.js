// The connection to the store: verified, replaced or given up. The page is drawn by the server.

import { call, isSignedOut } from "./api.js";
import { localise } from "./format.js";

const path = "/api/admin/integrations/shopify";
const section = document.querySelector("[data-connection]");

function tell(text) {
  const told = section.querySelector("[data-told]");
  if (told) told.textContent = text;
}

// The form keeps nothing: a token stays in the page no longer than its request takes.
function empty(form) {
  for (const id of ["access_token", "refresh_token"]) form.querySelector(`#${id}`).value = "";
}

async function redraw() {
  const response = await fetch(location.href, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  section.replaceChildren(...page.querySelector("[data-connection]").childNodes);
  localise(section);
}

async function work(button, said, request, done) {
  button.disabled = true;
  section.setAttribute("aria-busy", "true");
  tell(said);
  try {
    await request();
    await redraw();
    tell(done);
  } catch (problem) {
    if (isSignedOut(problem)) return location.reload();
    // A refusal is part of the connection's state by now.
    if (problem.kind === "provider-refused") await redraw();
    tell(`${problem.message} ${problem.advice || ""}`.trim());
  } finally {
    section.setAttribute("aria-busy", "false");
    button.disabled = false;
  }
  return undefined;
}

function given(form) {
  const body = { access_token: form.querySelector("#access_token").value.trim() };
  const refresh = form.querySelector("#refresh_token").value.trim();
  if (refresh) body.refresh_token = refresh;
  const seconds = form.querySelector("#expires_in").value;
  if (refresh && seconds) body.expires_in = Number(seconds);
  return body;
}

section.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  if (form.matches("[data-connect]")) {
    const body = given(form);
    empty(form);
    work(
      event.submitter,
      "Asking the store …",
      () => call(path, { method: "POST", body }),
      "Connected. Its orders, customers and segments are being read.",
    );
  } else {
    work(event.submitter, "Disconnecting …", () => call(path, { method: "DELETE" }), "Disconnected.");
  }
});

section.addEventListener("click", (event) => {
  if (!event.target.matches("[data-verify]")) return;
  work(
    event.target,
    "Asking the store …",
    () => call(`${path}/verify`, { method: "POST" }),
    "Verified just now.",
  );
});

localise(section);
