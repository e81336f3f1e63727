// Shared by the sample pages: names of platforms and creators, and addresses of pages.

import { make } from "./dom.js";

const types = { ugc: "UGC", tiktok: "TikTok" };

export const platforms = {
  tiktok: "TikTok",
  instagram: "Instagram",
  youtube: "YouTube",
  other: "Other",
};

export const orderPage = (id) => `/admin/samples/orders/${encodeURIComponent(id)}`;
export const creatorPage = (id) => `/admin/samples/creators/${encodeURIComponent(id)}`;

export function creatorName(row) {
  return row.handle ? `@${row.handle}` : row.name || row.email;
}

export function typeBadges(row) {
  return make(
    "span",
    { class: "badges" },
    ...row.types.map((type) => make("span", { class: `badge type-${type}` }, types[type])),
  );
}
