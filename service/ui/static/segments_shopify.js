// The Shopify tab: its button syncs the store's segments, and the list follows.

import { number } from "./format.js";
import { followRuns } from "./runs.js";
import { refresh } from "./segments.js";

function amount(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

followRuns(async (run) => {
  await refresh();
  const { segments = 0, segment_members: members = 0, written = 0 } = run.counts;
  const found = `${amount(segments, "segment")} with ${amount(members, "member")}`;
  const text = `Done: ${found}, ${number(written)} changed.`;
  const unread = Number(document.querySelector("[data-unread]").dataset.unread);
  if (!unread) return text;
  return {
    text: `${text} ${amount(unread, "segment")} could not be read.`,
    advice: "These keep the members they had. The next sync tries again.",
    look: "warn",
  };
});
