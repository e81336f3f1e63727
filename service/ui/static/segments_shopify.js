// The Shopify tab: the store's segments as of the last sync.

import { make } from "./dom.js";
import { dated, moment, number, timeElement } from "./format.js";
import { list } from "./list.js";
import { followRuns } from "./runs.js";

const columns = [
  { label: "Name", cell: name },
  { label: "Query", cell: (row) => make("code", { class: "query" }, row.query) },
  { label: "Members", kind: "num", cell: (row) => number(row.member_count) },
  { label: "Synced", kind: "num", cell: (row) => timeElement(row.synced_at, moment) },
];

function name(row) {
  const gone = row.gone_at ? make("span", { class: "badge" }, "Deleted in Shopify") : null;
  return make("span", { class: "stack" }, make("span", { class: "strong" }, row.name), gone);
}

function empty() {
  const isConnected = document.querySelector("[data-connected]").dataset.connected === "yes";
  return isConnected
    ? make(
        "div",
        { class: "state" },
        make("h3", {}, "No segments yet"),
        make("p", {}, "The store has no segments, or they have not been synced yet."),
      )
    : make(
        "div",
        { class: "state" },
        make("h3", {}, "Not connected to Shopify"),
        make("p", {}, "Connect your store to sync its segments."),
        make("a", { class: "button", href: "/admin/connections" }, "Connect Shopify"),
      );
}

const load = list({
  path: "/api/admin/segments",
  filters: ["q"],
  fragment: "",
  caption: "Shopify segments, by name",
  columns,
  empty,
  loaded: (answer) => {
    const unread = answer.unread ? `, ${number(answer.unread)} could not be read` : "";
    document.querySelector("[data-amount]").textContent =
      `${amount(answer.segments, "segment")}${unread}. `;
    dated(document.querySelector("[data-as-of]"), answer.as_of, answer.next_sync_at);
  },
});

function amount(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

async function finished(run) {
  await load();
  const { segments = 0, segment_members: members = 0, written = 0 } = run.counts;
  const found = `${amount(segments, "segment")} with ${amount(members, "member")}`;
  return `Done: ${found}, ${number(written)} changed.`;
}

load();
followRuns(finished);
