// Shared by the sample pages: labels, badges and cells.

import { make } from "./dom.js";

const types = { ugc: "UGC", tiktok: "TikTok" };
export const statuses = {
  pending: "Pending",
  partial: "Partly fulfilled",
  fulfilled: "Fulfilled",
  cancelled: "Cancelled",
};
const links = {
  manual: "set manually",
  email: "matched by e-mail",
  handle: "matched by handle",
  unlinked: "No creator, set manually",
};

export const platforms = {
  tiktok: "TikTok",
  instagram: "Instagram",
  youtube: "YouTube",
  other: "Other",
};

export const orderPage = (id) => `/admin/samples/orders/${encodeURIComponent(id)}`;
export const creatorPage = (id) => `/admin/samples/creators/${encodeURIComponent(id)}`;

export function typeBadges(row) {
  return make(
    "span",
    { class: "badges" },
    ...row.types.map((type) => make("span", { class: `badge type-${type}` }, types[type])),
  );
}

export function statusBadge(row) {
  return make("span", { class: `badge status-${row.status}` }, statuses[row.status]);
}

export function customer(row) {
  if (!row.customer_name && !row.customer_email) return row.customer_id ? "No name" : "Guest";
  return make(
    "span",
    { class: "lines" },
    make("span", { class: "clip" }, row.customer_name || row.customer_email),
    row.customer_name && row.customer_email
      ? make("span", { class: "muted clip", title: row.customer_email }, row.customer_email)
      : null,
  );
}

export function creatorName(row) {
  return row.handle ? `@${row.handle}` : row.name || row.email;
}

/** The creator of a sample and how it was matched. */
export function creatorOf(row) {
  const how = row.creator_link && make("span", { class: "muted" }, links[row.creator_link]);
  if (!row.creator_id) return how || "–";
  const name = row.creator_handle ? `@${row.creator_handle}` : row.creator_name || "Creator";
  return make(
    "span",
    { class: "stack" },
    make("a", { href: creatorPage(row.creator_id) }, name),
    how,
  );
}
