// Sample orders: totals, and the orders themselves with what makes each a sample.

import { call } from "./api.js";
import { make } from "./dom.js";
import { dated, day, number, timeElement } from "./format.js";
import { list } from "./list.js";

const types = { ugc: "UGC", tiktok: "TikTok" };
const statuses = {
  pending: "Pending",
  partial: "Partly fulfilled",
  fulfilled: "Fulfilled",
  cancelled: "Cancelled",
};

const columns = [
  { label: "Order", cell: (row) => make("span", { class: "strong" }, row.order_number || row.order_id) },
  { label: "Customer", cell: customer },
  { label: "Type", cell: (row) => badges(row.types.map((type) => types[type]), "type") },
  { label: "Evidence", cell: evidence },
  { label: "Status", cell: (row) => make("span", { class: `badge ${row.status}` }, statuses[row.status]) },
  { label: "Ordered", kind: "num", cell: (row) => timeElement(row.ordered_at, day) },
  { label: "Channel", cell: (row) => row.channel || "Unknown" },
];

function badges(texts, kind) {
  return make(
    "span",
    { class: "badges" },
    ...texts.map((text) => make("span", { class: `badge ${kind}` }, text)),
  );
}

function customer(row) {
  if (!row.customer_name && !row.customer_email) return "Guest";
  return make(
    "span",
    { class: "stack" },
    make("span", {}, row.customer_name || row.customer_email),
    row.customer_name && row.customer_email
      ? make("span", { class: "muted" }, row.customer_email)
      : null,
  );
}

function evidence(row) {
  const found = [
    ...row.matched_tags.map((tag) => ["Tag", tag]),
    ...row.matched_patterns.map((pattern) => ["Channel like", pattern]),
  ];
  return make(
    "ul",
    { class: "evidence" },
    ...found.map(([what, value]) =>
      make("li", {}, make("span", { class: "muted" }, `${what} `), make("code", {}, value)),
    ),
  );
}

function empty() {
  return make(
    "div",
    { class: "state" },
    make("h3", {}, "No samples yet"),
    make(
      "p",
      {},
      "An order counts as a sample when it has one of your sample tags, or came through a TikTok" +
        " channel, and its goods cost nothing.",
    ),
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
    put("total", number(by.all.total));
    put("ugc", number(by.ugc.total));
    put("tiktok", number(by.tiktok.total));
    put("pending", number(by.all.pending));
    put("fulfilled", number(by.all.fulfilled));
    for (const [type, row] of Object.entries(by)) {
      document.querySelector(`[data-tab-count="${type}"]`).textContent = number(row.total);
    }
    dated(document.querySelector("[data-as-of]"), stats.as_of, stats.next_build_at);
  } catch {
    // The list below says what is wrong; the cards only stop pretending to load.
    for (const name of ["total", "ugc", "tiktok", "pending", "fulfilled"]) put(name, "–");
  }
  cards.setAttribute("aria-busy", "false");
}

showStats();
list({
  path: "/api/admin/samples",
  filters: ["type", "status", "q"],
  fragment: "",
  caption: "Sample orders, newest first",
  columns,
  empty,
})();
