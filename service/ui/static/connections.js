// The Shopify and Klaviyo connections: connect, verify, replace and disconnect. The server renders
// the page.

import { call } from "./api.js";
import { confirmed } from "./dialog.js";
import { enableForms } from "./dom.js";
import { clearFields, showRefusal } from "./forms.js";
import { localise } from "./format.js";

const MESSAGES = {
  shopify: {
    verifying: "Checking with Shopify…",
    connected: "Connected. A sync of orders, customers and segments is queued.",
  },
  klaviyo: {
    verifying: "Checking with Klaviyo…",
    connected: "Connected. You can now sync segments to lists.",
  },
};

const TURN_OFF = {
  title: "Turn off customer metafields?",
  text:
    "They are removed from every customer in Shopify. The store's segments, discounts and flows " +
    "that use them find no customers then.",
  action: "Turn off",
  isDestructive: true,
};

function showStatus(section, text) {
  const status = section.querySelector("[data-status]");
  if (!status) return;
  status.textContent = text;
  status.classList.remove("field-error");
}

// A secret must not stay in the page once it has been sent.
function clearSecrets(form) {
  for (const input of form.querySelectorAll("input[type=password]")) input.value = "";
}

async function redraw(section) {
  const response = await fetch(location.href, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const selectors = [`[data-connection="${section.dataset.connection}"]`];
  // Metafields need the store.
  if (section.dataset.connection === "shopify") selectors.push(`[data-connection="metafields"]`);
  for (const selector of selectors) {
    const drawn = document.querySelector(selector);
    const fresh = page.querySelector(selector);
    drawn.hidden = fresh.hidden;
    drawn.replaceChildren(...fresh.childNodes);
    enableForms(drawn);
    localise(drawn);
  }
}

async function runRequest(section, button, working, request, done) {
  clearFields(section);
  button.disabled = true;
  section.setAttribute("aria-busy", "true");
  showStatus(section, working);
  try {
    await request();
    await redraw(section);
    showStatus(section, done);
  } catch (problem) {
    // The refusal is now part of the connection's state, which the server renders.
    if (problem.kind === "provider-refused") await redraw(section);
    showRefusal(section, section.querySelector("[data-status]"), problem);
  } finally {
    section.setAttribute("aria-busy", "false");
    button.disabled = false;
  }
}

// The fields that are filled in, numbers as numbers.
function filledIn(form) {
  const body = {};
  for (const input of form.querySelectorAll("input[name]")) {
    const value = input.value.trim();
    if (value) body[input.name] = input.type === "number" ? Number(value) : value;
  }
  // The lifetime only matters for a token that can be refreshed.
  if (!body.refresh_token) delete body.expires_in;
  return body;
}

function start(section) {
  const provider = section.dataset.connection;
  const path = `/api/admin/integrations/${provider}`;
  const { verifying, connected } = MESSAGES[provider];

  section.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    if (form.matches("[data-connect]")) {
      const body = filledIn(form);
      clearSecrets(form);
      const connect = () => call(path, { method: "POST", body });
      runRequest(section, event.submitter, verifying, connect, connected);
    } else {
      const disconnect = () => call(path, { method: "DELETE" });
      runRequest(section, event.submitter, "Disconnecting…", disconnect, "Disconnected.");
    }
  });

  section.addEventListener("click", (event) => {
    if (!event.target.matches("[data-verify]")) return;
    const verify = () => call(`${path}/verify`, { method: "POST" });
    runRequest(section, event.target, verifying, verify, "Verified.");
  });

  enableForms(section);
  localise(section);
}

function startMetafields(section) {
  const path = "/api/admin/integrations/shopify/metafields";
  section.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { submitter } = event;
    const turnsOn = event.target.dataset.metafields === "on";
    if (!turnsOn && !(await confirmed(TURN_OFF))) return;
    const change = () => call(path, { method: "PUT", body: { is_enabled: turnsOn } });
    const working = turnsOn ? "Turning on…" : "Turning off…";
    const done = turnsOn
      ? "On. A run that writes them is queued."
      : "Off. A run that removes them is queued.";
    runRequest(section, submitter, working, change, done);
  });
  enableForms(section);
  localise(section);
}

for (const section of document.querySelectorAll("[data-connection]")) {
  (section.dataset.connection === "metafields" ? startMetafields : start)(section);
}
