// One sample order and its creator.

import { call, isSignedOut } from "./api.js";
import { enableForms, make } from "./dom.js";
import { markFields, showRefusal, showStatus } from "./forms.js";
import { day, money, moment, number, timeElement } from "./format.js";
import { creatorName, creatorOf, customer, statusBadge, typeBadges } from "./sample_parts.js";

const box = document.querySelector("[data-order]");
const path = `/api/admin/samples/${encodeURIComponent(box.dataset.order)}`;
const status = document.querySelector("[data-status]");
const input = document.querySelector("#creator");
const form = document.querySelector("[data-link]");
const known = new Map();

function fact(label, value) {
  return make("div", {}, make("dt", {}, label), make("dd", {}, value ?? "–"));
}

function instant(at) {
  return at ? timeElement(at, moment) : "–";
}

function items(row) {
  if (row.items.length === 0) return make("p", { class: "muted" }, "No items.");
  const line = (item) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, item.title || "Untitled"),
      make("td", { "data-label": "Variant" }, item.variant_title || "–"),
      make("td", { "data-label": "SKU" }, item.sku || "–"),
      make("td", { class: "num", "data-label": "Quantity" }, number(item.quantity ?? 0)),
    );
  return make(
    "div",
    { class: "panel" },
    make(
      "table",
      { class: "rows" },
      make("caption", { class: "visually-hidden" }, "Items"),
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          make("th", { scope: "col" }, "Item"),
          make("th", { scope: "col" }, "Variant"),
          make("th", { scope: "col" }, "SKU"),
          make("th", { scope: "col", class: "num" }, "Quantity"),
        ),
      ),
      make("tbody", {}, ...row.items.map(line)),
    ),
  );
}

function show(row) {
  document.querySelector("[data-title]").textContent =
    `Sample order ${row.order_number || row.order_id}`;
  box.replaceChildren(
    make("p", { class: "badges" }, typeBadges(row), statusBadge(row)),
    make("p", { class: "note" }, `Counted as a sample: ${row.evidence}.`),
    make(
      "dl",
      { class: "facts panel" },
      fact("Customer", customer(row)),
      fact("Channel", row.channel),
      fact("Tags", row.tags.join(", ") || null),
      fact("Goods value", row.goods_value === null ? null : money(row.goods_value, row.currency)),
      fact("Ordered", timeElement(row.ordered_at, day)),
      fact("First sent", instant(row.first_fulfilled_at)),
      fact("Delivered", instant(row.delivered_at)),
      fact("Wait time (days)", row.days_waiting === null ? null : number(row.days_waiting)),
      fact("Shopify status", row.fulfillment_status),
      fact("Note", row.note),
    ),
    make("h2", {}, "Items"),
    items(row),
  );
  const creator = document.querySelector("[data-creator]");
  creator.replaceChildren(row.creator_link ? creatorOf(row) : "No creator found.");
  if (row.linked_by) {
    creator.append(" ", make("span", { class: "muted" }, `by ${row.linked_by}, `), instant(row.linked_at));
  }
  document.querySelector("[data-creator-section]").hidden = false;
  box.setAttribute("aria-busy", "false");
}

function fail(problem) {
  showRefusal(form, status, problem, { creator_id: "creator" });
}

async function load() {
  try {
    show(await call(path));
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    box.replaceChildren(
      make(
        "div",
        { class: "state bad", role: "alert" },
        make("h2", {}, problem.title),
        make("p", {}, problem.message),
        make("a", { class: "button", href: "/admin/samples" }, "View all samples"),
      ),
    );
    box.setAttribute("aria-busy", "false");
  }
}

async function change(request, message) {
  try {
    show(await call(`${path}/creator`, request));
    showStatus(form, status, message);
  } catch (problem) {
    fail(problem);
  }
}

async function suggest() {
  const answer = await call("/api/admin/creators", { params: { q: input.value.trim(), limit: 20 } });
  known.clear();
  for (const creator of answer.data) known.set(creatorName(creator), creator.creator_id);
  document
    .querySelector("#creators")
    .replaceChildren(...[...known.keys()].map((name) => make("option", { value: name })));
}

input.addEventListener("input", () => suggest().catch(fail));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  await suggest().catch(fail);
  const wanted = input.value.trim();
  const id = known.get(wanted) || known.get(`@${wanted}`) || (known.size === 1 && [...known.values()][0]);
  if (!id) {
    const text = "No creator found. Choose one from the list, or add one under Creators.";
    status.textContent = "";
    markFields(form, { creator: text });
    return;
  }
  await change({ method: "POST", body: { creator_id: id } }, "Creator linked.");
  input.value = "";
});
enableForms(document);
document
  .querySelector("[data-unlink]")
  .addEventListener("click", () =>
    change({ method: "DELETE" }, "Set to no creator. Automatic matching is off."),
  );
document
  .querySelector("[data-automatic]")
  .addEventListener("click", () =>
    change({ method: "POST", body: { automatic: true } }, "Automatic matching is on."),
  );
load();
