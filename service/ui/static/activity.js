// Past and current runs, which the server renders. Rows of unfinished runs are drawn again until
// they have ended. schedules.js pauses and resumes schedules.

import { localise } from "./format.js";
import { enableRegions, pageNow } from "./regions.js";

const POLL_MS = 1000;
const CHECK_FOR_NEWER_MS = 10_000;

const status = document.querySelector("[data-status]");
const refresh = enableRegions(localise);

async function follow() {
  const unfinished = document.querySelectorAll("[data-run][data-unfinished]");
  if (unfinished.length === 0) return;
  const page = await pageNow();
  for (const row of unfinished) {
    const now = page.getElementById(row.id);
    // Another filter may have been chosen during the call.
    if (!now || !row.isConnected) continue;
    row.replaceWith(document.adoptNode(now));
    localise(now);
    if ("unfinished" in now.dataset) continue;
    status.textContent = `${now.dataset.run}: ${now.dataset.state}.`;
  }
}

const newestOf = (page) => page.querySelector("[data-run]")?.id;

async function checkForNewer() {
  if (new URLSearchParams(location.search).get("cursor")) return;
  const page = await pageNow();
  document.querySelector("[data-newer]").hidden = newestOf(page) === newestOf(document);
}

// Repeat while the page is visible. A failure is ignored: the next repetition tries again.
function repeat(work, pause) {
  setTimeout(async () => {
    if (!document.hidden) await work().catch(() => {});
    repeat(work, pause);
  }, pause);
}

document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-newer]")) refresh();
});
repeat(follow, POLL_MS);
repeat(checkForNewer, CHECK_FOR_NEWER_MS);
