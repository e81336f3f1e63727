// The connections to the store and to Klaviyo: verified, replaced or given up, each in its section.
// The page is drawn by the server.

import { call, isSignedOut } from "./api.js";
import { enableForms } from "./dom.js";
import { localise } from "./format.js";

const SAID = {
  shopify: {
    asking: "Asking the store …",
    connected: "Connected. Its orders, customers and segments are being read.",
  },
  klaviyo: {
    asking: "Asking Klaviyo …",
    connected: "Connected. Lists can follow segments now.",
  },
};

function tell(section, text) {
  const told = section.querySelector("[data-told]");
  if (told) told.textContent = text;
}

// The form keeps nothing: a secret stays in the page no longer than its request takes.
function empty(form) {
  for (const input of form.querySelectorAll("input[type=password]")) input.value = "";
}

async function redraw(section) {
  const response = await fetch(location.href, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector(`[data-connection="${section.dataset.connection}"]`);
  section.replaceChildren(...fresh.childNodes);
  enableForms(section);
  localise(section);
}

async function work(section, button, said, request, done) {
  button.disabled = true;
  section.setAttribute("aria-busy", "true");
  tell(section, said);
  try {
    await request();
    await redraw(section);
    tell(section, done);
  } catch (problem) {
    if (isSignedOut(problem)) return location.reload();
    // A refusal is part of the connection's state by now.
    if (problem.kind === "provider-refused") await redraw(section);
    tell(section, `${problem.message} ${problem.advice || ""}`.trim());
  } finally {
    section.setAttribute("aria-busy", "false");
    button.disabled = false;
  }
  return undefined;
}

// What has been filled in; of a number, the number.
function given(form) {
  const body = {};
  for (const input of form.querySelectorAll("input[name]")) {
    const value = input.value.trim();
    if (value) body[input.name] = input.type === "number" ? Number(value) : value;
  }
  // How long a token lives says nothing about one that cannot be refreshed.
  if (!body.refresh_token) delete body.expires_in;
  return body;
}

function start(section) {
  const provider = section.dataset.connection;
  const path = `/api/admin/integrations/${provider}`;
  const { asking, connected } = SAID[provider];

  section.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    if (form.matches("[data-connect]")) {
      const body = given(form);
      empty(form);
      const connect = () => call(path, { method: "POST", body });
      work(section, event.submitter, asking, connect, connected);
    } else {
      const disconnect = () => call(path, { method: "DELETE" });
      work(section, event.submitter, "Disconnecting …", disconnect, "Disconnected.");
    }
  });

  section.addEventListener("click", (event) => {
    if (!event.target.matches("[data-verify]")) return;
    const verify = () => call(`${path}/verify`, { method: "POST" });
    work(section, event.target, asking, verify, "Verified just now.");
  });

  enableForms(section);
  localise(section);
}

document.querySelectorAll("[data-connection]").forEach(start);
