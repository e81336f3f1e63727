// The sample rules: edit, preview, save and restore them.

import { call } from "./api.js";
import { enableForms, make } from "./dom.js";
import { showRefusal, showStatus } from "./forms.js";
import { day, moment, number, timeElement } from "./format.js";
import { follow } from "./runs.js";
import { evidence, orderPage } from "./sample_parts.js";

const path = "/api/admin/samples/settings";
const lists = ["ugc_tags", "tiktok_tags", "channel_patterns"];
const conditions = ["zero_price_only", "ugc_zero_price_only"];
const labels = {
  ugc_tags: "UGC tags",
  tiktok_tags: "TikTok tags",
  channel_patterns: "Channels",
  zero_price_only: "TikTok samples must be free",
  ugc_zero_price_only: "UGC samples must be free",
};
const form = document.querySelector("[data-settings]");
const status = document.querySelector("[data-status]");
const confirm = document.querySelector("[data-confirm]");
const field = (name) => document.getElementById(name);

function read() {
  const lines = (name) =>
    field(name)
      .value.split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  return {
    ...Object.fromEntries(lists.map((name) => [name, lines(name)])),
    ...Object.fromEntries(conditions.map((name) => [name, field(name).checked])),
  };
}

function fill(settings) {
  for (const name of lists) field(name).value = settings[name].join("\n");
  for (const name of conditions) field(name).checked = settings[name];
  document
    .querySelector("[data-changed]")
    .replaceChildren(
      ...(settings.updated_by
        ? ["Changed ", timeElement(settings.updated_at, moment), ` by ${settings.updated_by}`]
        : ["Default settings"]),
    );
}

// A pattern of wildcards only matches every channel and needs to be confirmed.
function showConfirm() {
  confirm.hidden = !read().channel_patterns.some((pattern) => /^[%_]+$/.test(pattern));
  if (confirm.hidden) field("confirm_broad").checked = false;
}

function fail(problem) {
  showRefusal(form, status, problem);
}

function examples(title, count, orders) {
  const line = (order) =>
    make(
      "tr",
      {},
      make(
        "th",
        { scope: "row" },
        make("a", { href: orderPage(order.order_id) }, order.order_number || order.order_id),
      ),
      make("td", { "data-label": "Customer" }, order.customer_name || "Guest"),
      make("td", { "data-label": "Matched by" }, evidence(order)),
      make("td", { class: "num", "data-label": "Ordered" }, timeElement(order.ordered_at, day)),
    );
  const head = `${title}: ${number(count)}`;
  if (orders.length === 0) return make("h3", {}, head);
  return make(
    "div",
    { class: "examples" },
    make("h3", {}, head),
    make(
      "div",
      { class: "panel" },
      make(
        "table",
        { class: "rows" },
        make("caption", { class: "visually-hidden" }, `${head}, newest first`),
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            make("th", { scope: "col" }, "Order"),
            make("th", { scope: "col" }, "Customer"),
            make("th", { scope: "col" }, "Matched by"),
            make("th", { scope: "col", class: "num" }, "Ordered"),
          ),
        ),
        make("tbody", {}, ...orders.map(line)),
      ),
    ),
  );
}

async function preview() {
  showStatus(form, status, "Calculating…");
  try {
    const answer = await call(`${path}/preview`, { method: "POST", body: read() });
    document.querySelector("[data-preview-section]").hidden = false;
    document.querySelector("[data-previewed]").replaceChildren(
      make(
        "p",
        { class: "note" },
        `${number(answer.current_count)} samples now, ${number(answer.proposed_count)} with these` +
          " settings. Nothing has been saved.",
      ),
      examples("Added", answer.entering_count, answer.entering),
      examples("Removed", answer.leaving_count, answer.leaving),
    );
    status.textContent = "";
    document.querySelector("#preview-title").focus();
  } catch (problem) {
    fail(problem);
  }
}

async function showHistory() {
  const { data } = await call(`${path}/history`, { params: { limit: 20 } });
  const box = document.querySelector("[data-history]");
  if (data.length === 0) {
    box.replaceChildren(make("p", { class: "muted" }, "No changes so far."));
    return;
  }
  box.replaceChildren(...data.map(previousSettings));
}

function previousSettings(change) {
  const button = make("button", { type: "button" }, "Restore");
  button.addEventListener("click", () =>
    save(button, () =>
      call(`${path}/undo`, { method: "POST", body: { change_id: change.change_id } }),
    ),
  );
  const fact = (name, value) =>
    make("div", {}, make("dt", {}, labels[name]), make("dd", {}, value));
  const rows = [
    ...lists.map((name) => fact(name, change[name].join(", ") || "None")),
    ...conditions.map((name) => fact(name, change[name] ? "Yes" : "No")),
  ];
  return make(
    "div",
    { class: "panel padded previous" },
    make(
      "p",
      {},
      "In use until ",
      timeElement(change.changed_at, moment),
      make("span", { class: "muted" }, `, changed by ${change.changed_by}`),
    ),
    make("dl", { class: "facts" }, ...rows),
    button,
  );
}

// Saving starts a build, whose progress is shown in the page's run status.
async function save(button, request) {
  showStatus(form, status, "");
  try {
    const { settings, run } = await request();
    fill(settings);
    showConfirm();
    await showHistory();
    status.textContent = run
      ? "Saved. Samples and RFM segments are being recalculated."
      : "No changes to save.";
    if (run) await follow(button, async () => {}, async () => run);
  } catch (problem) {
    fail(problem);
  }
}

form.addEventListener("input", showConfirm);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const body = { ...read(), confirm_broad: field("confirm_broad").checked };
  save(event.submitter, () => call(path, { method: "PATCH", body }));
});
document.querySelector("[data-preview]").addEventListener("click", preview);

call(path)
  .then((settings) => {
    fill(settings);
    enableForms(form);
    return showHistory();
  })
  .catch(fail);
