// The Klaviyo tab: lists with pull or two-way sync, and the profiles on one of them.

import { make } from "./dom.js";
import { dated, moment, number, timeElement } from "./format.js";
import { directions } from "./klaviyo_parts.js";
import { list } from "./list.js";

const members = document.querySelector("[data-members]");

function name(row) {
  const gone = row.gone_at ? make("span", { class: "badge" }, "Deleted in Klaviyo") : null;
  const href = `/admin/segments?tab=klaviyo&list=${encodeURIComponent(row.id)}`;
  return make("span", { class: "stack" }, make("a", { class: "strong", href }, row.name), gone);
}

const lists = {
  path: "/api/admin/segments/klaviyo",
  filters: [],
  fragment: "",
  caption: "Klaviyo lists, by name",
  columns: [
    { label: "Name", cell: name },
    { label: "Direction", cell: (row) => directions[row.direction] },
    {
      label: "Members",
      kind: "num",
      cell: (row) => (row.member_count === null ? "–" : number(row.member_count)),
    },
    {
      label: "Last full read",
      kind: "num",
      cell: (row) => (row.full_read_at ? timeElement(row.full_read_at, moment) : "Not yet"),
    },
    {
      label: "Last sync",
      kind: "num",
      cell: (row) => (row.synced_at ? timeElement(row.synced_at, moment) : "Not yet"),
    },
  ],
  empty: () =>
    make(
      "div",
      { class: "state" },
      make("h3", {}, "No lists yet"),
      make("p", {}, "Sync a list with pull or two-way to use it as a segment."),
      make("a", { class: "button", href: "/admin/klaviyo?add=1" }, "Sync a list"),
    ),
  loaded: (answer) =>
    dated(
      document.querySelector("[data-as-of]"),
      answer.as_of,
      answer.next_sync_at,
      answer.schedule_state,
    ),
};

const profiles = (listId) => ({
  path: `/api/admin/segments/klaviyo/${encodeURIComponent(listId)}/members`,
  filters: ["q"],
  fragment: "",
  caption: "Profiles on the list, by e-mail",
  columns: [
    { label: "E-mail", cell: (row) => row.email || "No e-mail address" },
    {
      label: "Profile",
      cell: (row) =>
        row.profile_id
          ? make("code", {}, row.profile_id)
          : make("span", { class: "muted" }, "Sent, not read back yet"),
    },
    {
      label: "Joined",
      kind: "num",
      cell: (row) => (row.joined_at ? timeElement(row.joined_at, moment) : "–"),
    },
  ],
  empty: () =>
    make(
      "div",
      { class: "state" },
      make("h3", {}, "No profiles"),
      make("p", {}, "The list is empty or has not been synced yet."),
    ),
});

list(members ? profiles(members.dataset.members) : lists)();
