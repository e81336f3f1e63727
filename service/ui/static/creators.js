// The list of creators, with their samples and purchases.

import { call } from "./api.js";
import { creatorForm } from "./creator_form.js";
import { make } from "./dom.js";
import { day, money, number, timeElement } from "./format.js";
import { list } from "./list.js";
import { creatorName, creatorPage, platforms } from "./sample_parts.js";

const columns = [
  {
    label: "Creator",
    cell: (row) =>
      make(
        "span",
        { class: "stack" },
        make("a", { class: "strong", href: creatorPage(row.creator_id) }, creatorName(row)),
        row.handle && row.name ? make("span", { class: "muted" }, row.name) : null,
      ),
  },
  { label: "Platform", cell: (row) => platforms[row.platform] },
  { label: "Samples", kind: "num", cell: (row) => number(row.samples) },
  { label: "Sent", kind: "num", cell: (row) => number(row.samples_sent) },
  { label: "Value", kind: "num", cell: (row) => amount(row.goods_value, row.currency) },
  {
    label: "Last sent",
    kind: "num",
    cell: (row) => (row.last_sent_at ? timeElement(row.last_sent_at, day) : "–"),
  },
  { label: "Purchases", kind: "num", cell: (row) => number(row.own_orders) },
  { label: "Spent", kind: "num", cell: (row) => amount(row.own_orders_total, row.currency) },
];

function amount(value, currency) {
  return value === null ? "–" : money(value, currency);
}

creatorForm(async (fields) => {
  const creator = await call("/api/admin/creators", { method: "POST", body: fields });
  location.assign(creatorPage(creator.creator_id));
});
list({
  path: "/api/admin/creators",
  filters: ["q"],
  fragment: "",
  caption: "Creators by handle",
  columns,
  empty: () =>
    make(
      "div",
      { class: "state" },
      make("h3", {}, "No creators yet"),
      make("p", {}, "Add the people you send samples to. Their orders are matched automatically."),
    ),
})();
