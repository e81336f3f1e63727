// One sample order and its creator.

import { call, isSignedOut } from "./api.js";
import { linkCreator } from "./creator_dialog.js";
import { make } from "./dom.js";
import { day, money, moment, number, timeElement } from "./format.js";
import { creatorOf, customer, statusBadge, typeBadges } from "./sample_parts.js";

const box = document.querySelector("[data-order]");
const path = `/api/admin/samples/${encodeURIComponent(box.dataset.order)}`;

function fact(label, value) {
  return make("div", {}, make("dt", {}, label), make("dd", {}, value ?? "–"));
}

// "PARTIALLY_FULFILLED" as "Partially fulfilled".
function inWords(status) {
  const words = status?.replaceAll("_", " ").toLowerCase();
  return words && `${words[0].toUpperCase()}${words.slice(1)}`;
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
      fact("Shopify status", inWords(row.fulfillment_status)),
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

document
  .querySelector("[data-link-creator]")
  .addEventListener("click", () => linkCreator(box.dataset.order, load));
load();
