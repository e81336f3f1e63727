// Orders that are nearly samples, and why they are none.

import { make } from "./dom.js";
import { day, money, timeElement } from "./format.js";
import { list } from "./list.js";
import { customer } from "./sample_parts.js";

const reasons = {
  tag_not_free: "Tagged, but paid for",
  channel_not_free: "Sample channel, but paid for",
  tag_looks_like_sample: "Free, and the tag sounds like a sample",
};

list({
  path: "/api/admin/samples/suggestions",
  filters: ["reason"],
  fragment: "",
  caption: "Orders that are nearly samples, newest first",
  columns: [
    {
      label: "Order",
      cell: (row) => make("span", { class: "strong" }, row.order_number || row.order_id),
    },
    { label: "Customer", cell: customer },
    { label: "Why", cell: (row) => reasons[row.reason] },
    {
      label: "Tag or pattern",
      cell: (row) =>
        make(
          "ul",
          { class: "evidence" },
          ...row.evidence.map((text) => make("li", {}, make("code", {}, text))),
        ),
    },
    { label: "Channel", cell: (row) => row.channel || "Unknown" },
    { label: "Paid", kind: "num", cell: (row) => money(row.goods_paid, row.currency) },
    { label: "Ordered", kind: "num", cell: (row) => timeElement(row.ordered_at, day) },
  ],
  empty: () =>
    make(
      "div",
      { class: "state" },
      make("h3", {}, "Nothing to suggest"),
      make("p", {}, "No order looks like a sample that your settings miss."),
    ),
})();
