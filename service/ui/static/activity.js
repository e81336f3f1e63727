// Past and current runs, which the server renders. Rows of unfinished runs are drawn again until
// they have ended. schedules.js pauses and resumes schedules.

import { isSignedOut } from "./api.js";
import { signedOut } from "./forms.js";
import { localise } from "./format.js";
import { enableRegions, pageNow } from "./regions.js";

const POLL_MS = 1000;
const CHECK_FOR_NEWER_MS = 10_000;

const status = document.querySelector("[data-status]");
let isEnded = false;
const refresh = enableRegions(localise);

async function follow() {
  const unfinished = document.querySelectorAll("[data-run][data-unfinished]");
  if (unfinished.length === 0) return false;
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
  return true;
}

const newestOf = (page) => page.querySelector("[data-run]")?.id;

async function checkForNewer() {
  if (new URLSearchParams(location.search).get("cursor")) return false;
  const page = await pageNow();
  document.querySelector("[data-newer]").hidden = newestOf(page) === newestOf(document);
  return true;
}

// Repeat while the page is visible. A failure is ignored: the next repetition tries again. The end
// of the session is said once, and no longer after signing in again.
async function attempt(work) {
  try {
    const isRead = await work();
    if (isRead && isEnded) {
      status.replaceChildren();
      isEnded = false;
    }
  } catch (problem) {
    if (isSignedOut(problem) && !isEnded) {
      isEnded = true;
      status.replaceChildren(...signedOut());
    }
  }
}

function repeat(work, pause) {
  setTimeout(async () => {
    if (!document.hidden) await attempt(work);
    repeat(work, pause);
  }, pause);
}

document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-newer]")) refresh();
});
repeat(follow, POLL_MS);
repeat(checkForNewer, CHECK_FOR_NEWER_MS);
