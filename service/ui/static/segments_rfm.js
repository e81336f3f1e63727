// The RFM tab: the chart is the server's, the customers come from the API.

import { make } from "./dom.js";
import { day, localise, money, number, timeElement } from "./format.js";
import { list } from "./list.js";
import { followRuns } from "./runs.js";

const labels = {
  champions: "Champions",
  loyal: "Loyal",
  new: "New",
  at_risk: "At risk",
  hibernating: "Hibernating",
  potential: "Potential",
};

const columns = [
  { label: "Customer", cell: customer },
  { label: "Segment", cell: (row) => labels[row.segment] || row.segment },
  { label: "R F M", kind: "num", cell: scores },
  { label: "Last order", kind: "num", cell: (row) => timeElement(row.last_order_at, day) },
  { label: "Orders", kind: "num", cell: (row) => number(row.frequency_count) },
  { label: "Net spend", kind: "num", cell: (row) => money(row.monetary_total, row.currency) },
];

function customer(row) {
  return make(
    "span",
    { class: "stack" },
    make("span", { class: "strong" }, row.email || "No e-mail address"),
    make("span", { class: "muted mono" }, row.customer_id),
  );
}

function scores(row) {
  const { r_score: r, f_score: f, m_score: m } = row;
  return make(
    "span",
    { class: "scores" },
    make("span", { class: "visually-hidden" }, `Recency ${r}, frequency ${f}, spend ${m}`),
    ...[r, f, m].map((score) => make("span", { class: "score", "aria-hidden": "true" }, `${score}`)),
  );
}

function start() {
  if (!document.querySelector("[data-list]")) return;
  list({
    path: "/api/admin/segments/rfm/customers",
    filters: ["segment", "q"],
    fragment: "#customers",
    caption: "Scored customers, highest net spend first",
    columns,
    empty: () => make("div", { class: "state" }, make("h3", {}, "No customer is scored")),
  })();
}

// After a run the same address is asked for again, and what it shows below the tabs is exchanged.
async function refresh() {
  const response = await fetch(location.href, { credentials: "same-origin" });
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const isSection = (element) => element.tagName === "SECTION";
  const main = document.querySelector("main");
  [...main.children].filter(isSection).forEach((section) => section.remove());
  main.append(...[...fresh.querySelector("main").children].filter(isSection));
  localise(main);
  start();
}

localise(document);
start();
followRuns(refresh);
