// The Klaviyo tab: lists that are read here, and who is on one of them.

import { make } from "./dom.js";
import { dated, moment, number, timeElement } from "./format.js";
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
  caption: "Lists read from Klaviyo, by name",
  columns: [
    { label: "Name", cell: name },
    { label: "Key", cell: (row) => make("code", {}, `klaviyo:${row.id}`) },
    { label: "Members", kind: "num", cell: (row) => number(row.member_count) },
    {
      label: "Read in full",
      kind: "num",
      cell: (row) => (row.full_read_at ? timeElement(row.full_read_at, moment) : "not yet"),
    },
    {
      label: "Synced",
      kind: "num",
      cell: (row) => (row.synced_at ? timeElement(row.synced_at, moment) : "not yet"),
    },
  ],
  empty: () =>
    make(
      "div",
      { class: "state" },
      make("h3", {}, "No list is read yet"),
      make(
        "p",
        {},
        "Pull a list, or keep one in step both ways, under ",
        make("a", { href: "/admin/klaviyo?add=1" }, "Klaviyo"),
        ".",
      ),
    ),
  loaded: (answer) =>
    dated(document.querySelector("[data-as-of]"), answer.as_of, answer.next_sync_at),
};

const profiles = (listId) => ({
  path: `/api/admin/segments/klaviyo/${encodeURIComponent(listId)}/members`,
  filters: ["q"],
  fragment: "",
  caption: "Profiles on the list, by address",
  columns: [
    { label: "E-mail", cell: (row) => row.email || "no e-mail address" },
    { label: "Profile", cell: (row) => make("code", {}, row.profile_id) },
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
      make("h3", {}, "Nobody is on it"),
      make("p", {}, "Or it has not been read yet: the next sync does."),
    ),
});

list(members ? profiles(members.dataset.members) : lists)();
