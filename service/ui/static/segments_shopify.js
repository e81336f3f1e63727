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

function empty(answer) {
  const isConnected = document.querySelector("[data-connected]").dataset.connected === "yes";
  return isConnected
    ? make(
        "div",
        { class: "state" },
        make("h3", {}, answer.as_of ? "No segments" : "Not synced yet"),
        make("p", {}, answer.as_of ? "The store has no segments." : "Sync to see the store's segments."),
      )
    : make(
        "div",
        { class: "state" },
        make("h3", {}, "Not connected to Shopify"),
        make("p", {}, "Connect your store to sync its segments."),
        make("a", { class: "button", href: "/admin/connections" }, "Connect Shopify"),
      );
}

// Segments that could not be read, as last loaded.
let unread = 0;
const load = list({
  path: "/api/admin/segments/shopify",
  filters: ["q"],
  fragment: "",
  caption: "Shopify segments, by name",
  columns,
  empty,
  loaded: (answer) => {
    unread = answer.unread;
    const note = answer.unread ? `, ${number(answer.unread)} could not be read` : "";
    document.querySelector("[data-amount]").textContent =
      `${amount(answer.segments, "segment")}${note}. `;
    dated(
      document.querySelector("[data-as-of]"),
      answer.as_of,
      answer.next_sync_at,
      answer.schedule_state,
    );
  },
});

function amount(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

async function finished(run) {
  await load();
  const { segments = 0, segment_members: members = 0, written = 0 } = run.counts;
  const found = `${amount(segments, "segment")} with ${amount(members, "member")}`;
  const text = `Done: ${found}, ${number(written)} changed.`;
  if (!unread) return text;
  return {
    text: `${text} ${amount(unread, "segment")} could not be read.`,
    advice: "These keep the members they had. The next sync tries again.",
    look: "warn",
  };
}

load();
followRuns(finished);
