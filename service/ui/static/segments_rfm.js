// The RFM tab: the server renders the charts, the customer list comes from the API.

import { make } from "./dom.js";
import { date, day, localise, money, number, timeElement } from "./format.js";
import { list } from "./list.js";
import { settingsForm } from "./rfm_settings.js";
import { followRuns } from "./runs.js";

// Labels of the RFM segments by name, from the page.
const labels = JSON.parse(document.getElementById("rfm-labels").textContent);

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
    make("span", { class: "strong" }, row.email || row.phone || "No e-mail address"),
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

// Explains the scores and the segment. The words of the scores come from the dbt models.
function reasons(row) {
  return make(
    "dl",
    { class: "reasons" },
    ...reason(`Recency ${row.r_score}`, row.r_reason),
    ...reason(`Frequency ${row.f_score}`, row.f_reason),
    ...reason(`Net spend ${row.m_score}`, row.m_reason),
    ...reason(labels[row.segment] || row.segment, since(row)),
  );
}

const reason = (term, words) => [make("dt", {}, term), make("dd", {}, words)];

function since(row) {
  const on = date(row.segment_changed_on);
  if (!row.previous_segment) return `since ${on}, previously in no segment`;
  return `since ${on}, previously ${labels[row.previous_segment] || row.previous_segment}`;
}

function start() {
  if (!document.querySelector("[data-list]")) return;
  list({
    path: "/api/admin/segments/rfm/customers",
    filters: ["segment", "q"],
    fragment: "#customers",
    caption: "Scored customers, highest net spend first",
    columns,
    detail: { label: "Explain", about: (row) => row.email || row.phone || row.customer_id, cell: reasons },
    empty: () => make("div", { class: "state" }, make("h3", {}, "No scored customers")),
    names: { segment: "Segment" },
  })();
}

// After a run the page is fetched again and its sections are replaced, except the settings form,
// which may have unsaved input.
async function refresh() {
  const response = await fetch(location.href, { credentials: "same-origin" });
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const isReplaced = (element) => element.matches("nav.contents, section:not([data-keep])");
  const main = document.querySelector("main");
  const kept = main.querySelector("section[data-keep]");
  [...main.children].filter(isReplaced).forEach((part) => part.remove());
  kept.before(...[...fresh.querySelector("main").children].filter(isReplaced));
  localise(main);
  start();
}

localise(document);
start();
settingsForm(followRuns(refresh));
