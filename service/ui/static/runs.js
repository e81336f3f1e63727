// Starting a run and following it to its end, with words for those who see it and who hear it.

import { call, isSignedOut } from "./api.js";
import { number } from "./format.js";

const POLL_MS = 1000;
const PATIENCE_MS = 20_000;
const UNFINISHED = ["queued", "running"];

/**
 * Wire the page's run button; `finished` is called when a run has succeeded, and may return words
 * to tell instead of the usual ones.
 * @returns a function that follows a run which something else on the page has started
 */
export function followRuns(finished) {
  const button = document.querySelector("[data-start-run]");
  if (!button) return () => {};
  let next = null;
  const isBusy = () => button.ariaDisabled === "true";
  const watch = async (start) => {
    await follow(button, finished, start);
    while (next) {
      const run = next;
      next = null;
      await follow(button, finished, async () => run);
    }
  };
  button.addEventListener("click", () => {
    if (!isBusy()) watch(() => call(button.dataset.startRun, { method: "POST" }));
  });
  resume(button, watch);
  return (run) => {
    // It waits behind the one that is being followed.
    if (isBusy()) next = run;
    else watch(async () => run);
  };
}

// A run that somebody else or the schedule has started is shown as well.
async function resume(button, watch) {
  const params = { kind: button.dataset.runKind, limit: 1 };
  // The page does not depend on it: when this fails, the button still works and will say why.
  const answer = await call("/api/admin/runs", { params }).catch(() => ({ data: [] }));
  const [latest] = answer.data;
  const isFollowed = button.ariaDisabled === "true";
  if (latest && UNFINISHED.includes(latest.state) && !isFollowed) watch(async () => latest);
}

/** Follow the run that `start` gives; `button` rests meanwhile. */
export async function follow(button, finished, start) {
  if (button.ariaDisabled === "true") return;
  // Not `disabled`, which would take the focus from whoever has just pressed it.
  button.ariaDisabled = "true";
  try {
    tell("Starting …", { isBusy: true });
    let run = await start();
    while (UNFINISHED.includes(run.state)) {
      describe(run);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      run = await call(`/api/admin/runs/${encodeURIComponent(run.run_id)}`);
    }
    if (run.state === "failed") {
      tell(run.error || "The run failed.", { isBad: true, advice: run.advice });
    } else {
      tell((await finished(run)) || "Done. The numbers below are new.");
    }
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    else tell(problem.message, { isBad: true, advice: problem.advice });
  } finally {
    button.ariaDisabled = null;
  }
}

function describe(run) {
  if (run.state === "queued") {
    const isLate = Date.now() - Date.parse(run.created_at) > PATIENCE_MS;
    const advice = isLate ? "Still waiting: is quintile worker running?" : "";
    tell("Waiting for its turn …", { isBusy: true, advice });
    return;
  }
  const phase = run.phase || "Running";
  const amount = run.total
    ? `: ${number(run.done)} of ${number(run.total)}`
    : run.done
      ? `: ${number(run.done)}`
      : "";
  tell(`${phase[0].toUpperCase()}${phase.slice(1)}${amount} …`, { isBusy: true, run });
}

function tell(text, { isBusy = false, isBad = false, advice = "", run = null } = {}) {
  const box = document.querySelector("[data-run-status]");
  box.hidden = false;
  box.classList.toggle("bad", isBad);
  box.classList.toggle("good", !isBusy && !isBad);
  box.querySelector("[data-run-spinner]").hidden = !isBusy;
  const line = box.querySelector("[data-run-text]");
  // The same words again would be read out again.
  if (line.textContent !== text) line.textContent = text;
  const hint = box.querySelector("[data-run-advice]");
  hint.textContent = advice || "";
  hint.hidden = !advice;
  const progress = box.querySelector("[data-run-progress]");
  progress.hidden = !run?.total;
  if (run?.total) {
    progress.max = run.total;
    progress.value = run.done;
  }
}
