// Outgoing webhooks: add, change, test, disable and delete endpoints. A secret is shown once.

import { call, isSignedOut, messageOf } from "./api.js";
import { confirmed, openDialog } from "./dialog.js";
import { enableForms, make } from "./dom.js";
import { showSecret } from "./form_dialog.js";
import { showRefusal, showSignedOut, showStatus } from "./forms.js";
import { number, timeElement } from "./format.js";

const endpointsPath = "/api/admin/webhooks/endpoints";
const deliveriesPath = "/api/admin/webhooks/deliveries";
const section = document.querySelector("[data-webhooks]");
const part = (name) => section.querySelector(`[data-${name}]`);

const topics = {
  "segment.customer_entered": "Customers entered a segment",
  "segment.customer_left": "Customers left a segment",
  "sample.found": "Samples found",
  "sample.fulfilled": "Samples fulfilled",
  "build.completed": "Segments calculated",
  "klaviyo_sync.failed": "Klaviyo sync failed",
  "klaviyo_sync.recovered": "Klaviyo sync recovered",
  test: "Test",
};
const states = { pending: "Waiting", delivered: "Delivered", failed: "Failed" };
const reasons = {
  person: "Disabled.",
  gone: "Disabled, because its receiver answered that it is gone (410).",
  failing: "Disabled, because no delivery succeeded for days.",
};
const pollMilliseconds = 500;
const pollTimes = 60;

async function show() {
  const [{ data: endpoints }, { data: deliveries }] = await Promise.all([
    call(endpointsPath),
    call(deliveriesPath, { params: { limit: 20 } }),
  ]);
  part("endpoints").replaceChildren(
    ...(endpoints.length ? endpoints.map(describe) : [make("p", { class: "muted" }, "No webhooks.")]),
  );
  const urls = new Map(endpoints.map(({ endpoint_id: id, url }) => [id, url]));
  part("log").hidden = deliveries.length === 0;
  part("log")
    .querySelector("tbody")
    .replaceChildren(
      ...deliveries.map((row) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, timeElement(row.created_at)),
          make("td", {}, topics[row.topic]),
          make("td", {}, urls.get(row.endpoint_id)),
          make("td", {}, `${states[row.state]}${row.error ? `. ${row.error}` : ""}`),
        ),
      ),
    );
}

function describe(endpoint) {
  const { endpoint_id: id, url, is_enabled: isEnabled } = endpoint;
  const path = `${endpointsPath}/${id}`;
  const button = (label, act, look) => {
    const attributes = { type: "button", class: look, "aria-label": `${label}: ${url}` };
    const made = make("button", attributes, label);
    made.addEventListener("click", act);
    return made;
  };
  return make(
    "div",
    { class: "panel padded" },
    make("p", {}, make("strong", {}, url)),
    make("p", { class: "muted" }, topicsOf(endpoint)),
    make("p", {}, ...stateOf(endpoint)),
    make(
      "div",
      { class: "actions" },
      button("Edit topics", () => editTopics(path, endpoint)),
      button("Send test", () => run("Sending…", () => sendTest(path))),
      button("New secret", () => replaceSecret(path, url)),
      isEnabled
        ? button("Disable", () => disable(path, endpoint))
        : button("Enable", () => enable(path, true)),
      button("Delete", () => remove(path, url), "danger"),
    ),
  );
}

function topicsOf({ topics: chosen, segments }) {
  const words = chosen.map((topic) => topics[topic]).join(", ");
  if (!segments || !chosen.some((topic) => topic.startsWith("segment."))) return words;
  const options = [...section.querySelector("#segments").options];
  const names = new Map(options.map(({ value, text }) => [value, text]));
  return `${words}. Only customers of ${segments.map((id) => names.get(id) || id).join(", ")}.`;
}

function editTopics(path, { url, topics: current }) {
  const boxes = Object.keys(topics)
    .filter((topic) => topic !== "test")
    .map((value) =>
      make("input", { type: "checkbox", name: "topics", value, checked: current.includes(value) }),
    );
  const chosen = () => boxes.filter(({ checked }) => checked).map(({ value }) => value);
  const status = make("p", { role: "status" });
  const cancel = make("button", { type: "button" }, "Cancel");
  const form = make(
    "form",
    { class: "fields" },
    make("p", { class: "muted" }, url),
    ...boxes.map((box) => make("label", { class: "check" }, box, ` ${topics[box.value]}`)),
    status,
    make(
      "div",
      { class: "dialog-actions" },
      cancel,
      make("button", { type: "submit", class: "primary" }, "Save"),
    ),
  );
  const dialog = openDialog("Edit topics", [form], {
    hasChanges: () => chosen().sort().join() !== [...current].sort().join(),
  });
  cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (chosen().length === 0) {
      status.textContent = "Choose at least one topic.";
      return;
    }
    status.textContent = "Saving…";
    try {
      await call(path, { method: "PATCH", body: { topics: chosen() } });
      dialog.close();
      await run("Loading…", async () => "Topics changed.");
    } catch (problem) {
      if (isSignedOut(problem)) showSignedOut(status);
      else status.textContent = messageOf(problem);
    }
  });
}

async function replaceSecret(path, url) {
  const isSure = await confirmed({
    title: "Replace the signing secret?",
    text: `The secret of ${url} now stops working in 24 hours. Give the new one to the receiver before.`,
    action: "New secret",
    isDestructive: true,
  });
  if (!isSure) return;
  run("Replacing…", async () => {
    const { secret } = await call(`${path}/rotate-secret`, { method: "POST", body: {} });
    showSigningSecret(url, secret);
    return "Replaced. Both secrets sign for 24 hours.";
  });
}

async function disable(path, { url, pending }) {
  const waiting = pending === 1 ? "1 waiting message is" : `${number(pending)} waiting messages are`;
  const isSure = await confirmed({
    title: "Disable this webhook?",
    text: `${url} gets no more messages. ${pending ? `${waiting} not sent, also not later.` : ""}`.trim(),
    action: "Disable",
    isDestructive: true,
  });
  if (isSure) enable(path, false);
}

function enable(path, isEnabled) {
  run("Saving…", async () => {
    await call(path, { method: "PATCH", body: { is_enabled: isEnabled } });
    return isEnabled ? "Webhook enabled." : "Webhook disabled.";
  });
}

async function remove(path, url) {
  const isSure = await confirmed({
    title: "Delete this webhook?",
    text: `${url} gets no more messages, and its delivery log is deleted.`,
    action: "Delete",
    isDestructive: true,
  });
  if (!isSure) return;
  run("Deleting…", async () => {
    await call(path, { method: "DELETE" });
    return "Webhook deleted.";
  });
}

function stateOf(endpoint) {
  const { failing_since: since, last_error: error, pending, secret_last_four: end } = endpoint;
  if (!endpoint.is_enabled) return [reasons[endpoint.disabled_reason]];
  const waiting = pending ? ` ${number(pending)} waiting.` : "";
  if (since) return ["Failing since ", timeElement(since), `. ${error || ""}${waiting}`];
  return [`Enabled, secret …${end}.${waiting}`];
}

async function sendTest(path) {
  const { delivery_id: id } = await call(`${path}/test`, { method: "POST" });
  for (let times = 0; times < pollTimes; times += 1) {
    const { state, error } = await call(`${deliveriesPath}/${id}`);
    if (state === "delivered") return "Test delivered.";
    if (state === "failed") return `Test failed. ${error}`;
    await new Promise((resolve) => setTimeout(resolve, pollMilliseconds));
  }
  return "The test waits for a worker. The delivery log will have the result.";
}

function showSigningSecret(url, secret) {
  showSecret("Signing secret", `Copy the secret of ${url} now. It is not shown again.`, secret);
}

async function run(working, request) {
  const form = part("add-webhook");
  const status = part("webhook-status");
  showStatus(form, status, working);
  try {
    const done = await request();
    await show();
    status.textContent = done;
  } catch (problem) {
    showRefusal(form, status, problem, { url: "webhook_url" });
  }
}

part("add-webhook").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = section.querySelector("#webhook_url");
  const chosen = [...section.querySelectorAll("[name=topics]:checked")].map(({ value }) => value);
  run("Saving…", async () => {
    const segment = section.querySelector("#segments").value;
    const body = { url: input.value.trim(), topics: chosen, segments: segment ? [segment] : null };
    const { secret } = await call(endpointsPath, { method: "POST", body });
    showSigningSecret(body.url, secret);
    input.value = "";
    return "Saved.";
  });
});
enableForms(section);

show().catch((problem) => {
  if (isSignedOut(problem)) location.reload();
  else part("endpoints").textContent = problem.message;
});
