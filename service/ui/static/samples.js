// Sample orders: totals, and the list of orders with the tags or channels that they matched.

import { call } from "./api.js";
import { make } from "./dom.js";
import { dated, day, money, number, roundMoney, timeElement } from "./format.js";
import { list } from "./list.js";
import {
  creatorOf,
  customer,
  evidence,
  orderPage,
  statusBadge,
  typeBadges,
} from "./sample_parts.js";

const filters = ["type", "status", "q", "creator_id", "ordered_from", "ordered_until", "sort"];

const columns = [
  {
    label: "Order",
    cell: (row) =>
      make("a", { class: "strong", href: orderPage(row.order_id) }, row.order_number || row.order_id),
  },
  { label: "Customer", cell: customer },
  { label: "Type", cell: typeBadges },
  { label: "Matched by", cell: evidence },
  { label: "Status", cell: statusBadge },
  { label: "Wait time", kind: "num", cell: wait },
  { label: "Creator", cell: creatorOf },
  {
    label: "Value",
    kind: "num",
    cell: (row) => (row.goods_value === null ? "–" : money(row.goods_value, row.currency)),
  },
  { label: "Ordered", kind: "num", cell: (row) => timeElement(row.ordered_at, day) },
];

function wait({ days_waiting: days }) {
  return days === null ? "–" : days === 1 ? "1 day" : `${number(days)} days`;
}

function empty() {
  return make(
    "div",
    { class: "state" },
    make("h3", {}, "No samples yet"),
    make(
      "p",
      {},
      "Orders that match your sample tags or channels appear here.",
    ),
    make("a", { class: "button", href: "/admin/samples/settings" }, "Open sample settings"),
  );
}

async function showStats() {
  const cards = document.querySelector("[data-cards]");
  const put = (name, value) => {
    cards.querySelector(`[data-card="${name}"]`).textContent = value;
  };
  try {
    const stats = await call("/api/admin/samples/stats");
    const by = Object.fromEntries(stats.data.map((row) => [row.type, row]));
    const { all } = by;
    put("total", number(all.total));
    put("ugc", number(by.ugc.total));
    put("tiktok", number(by.tiktok.total));
    put("pending", number(all.pending));
    put("fulfilled", number(all.fulfilled));
    put("cancelled", number(all.cancelled));
    put("value", all.goods_value === null ? "–" : roundMoney(all.goods_value, all.currency));
    put("days", all.median_days_to_fulfil === null ? "–" : number(all.median_days_to_fulfil));
    put("lately", number(all.last_30_days));
    put("before", number(all.previous_30_days));
    for (const [type, row] of Object.entries(by)) {
      document.querySelector(`[data-tab-count="${type}"]`).textContent = number(row.total);
    }
    showUnknown(stats.unknown_statuses);
    dated(document.querySelector("[data-as-of]"), stats.as_of, stats.next_build_at);
  } catch {
    // The list shows the error. The cards only stop loading.
    for (const card of cards.querySelectorAll("[data-card]")) put(card.dataset.card, "–");
  }
  cards.setAttribute("aria-busy", "false");
}

function showUnknown(found) {
  const box = document.querySelector("[data-unknown]");
  box.hidden = found.length === 0;
  if (box.hidden) return;
  const words = found.map((row) => `${row.fulfillment_status} (${number(row.samples)})`).join(", ");
  box.replaceChildren(
    make(
      "p",
      { class: "note warn" },
      `Unknown fulfilment statuses: ${words}. These samples count as pending until Quintile knows` +
        " what the statuses mean.",
    ),
  );
}

// The file has the same filters as the list, and all pages.
function wireDownload() {
  const link = document.querySelector("[data-csv]");
  const params = new URLSearchParams(location.search);
  const wanted = new URLSearchParams();
  for (const name of filters) {
    const value = params.get(name)?.trim();
    if (value) wanted.set(name, value);
  }
  if (wanted.size > 0) link.href = `${link.pathname}?${wanted}`;
}

wireDownload();
showStats();
list({
  path: "/api/admin/samples",
  filters,
  fragment: "",
  caption: "Sample orders",
  columns,
  empty,
  names: { type: "Type", creator_id: "Creator" },
})();
