// Orders that may be samples, and why they match no rule.

import { make } from "./dom.js";
import { day, money, timeElement } from "./format.js";
import { list } from "./list.js";
import { customer } from "./sample_parts.js";

const reasons = Object.fromEntries(
  [...document.querySelectorAll("#reason option")].map((option) => [option.value, option.text]),
);

list({
  path: "/api/admin/samples/suggestions",
  filters: ["reason"],
  fragment: "",
  caption: "Possible samples, newest first",
  columns: [
    {
      label: "Order",
      cell: (row) => make("span", { class: "strong" }, row.order_number || row.order_id),
    },
    { label: "Customer", cell: customer },
    { label: "Reason", cell: (row) => reasons[row.reason] },
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
      make("h3", {}, "No suggestions"),
      make("p", {}, "Every order that looks like a sample matches your settings."),
    ),
})();
