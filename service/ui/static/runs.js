// Starts a run and shows its progress until it ends, on screen and to screen readers.

import { call, isSignedOut } from "./api.js";
import { signedOut } from "./forms.js";
import { number, percent } from "./format.js";

const POLL_MS = 1000;
const QUEUED_TOO_LONG_MS = 20_000;
const UNFINISHED = ["queued", "running"];

/**
 * Connect a run button of the page. `finished` is called when a run has succeeded, and may return a
 * message to show instead of the default one: text, or { text, advice, look }.
 * @returns a function that follows a run started elsewhere on the page
 */
export function followRuns(finished, button = document.querySelector("[data-start-run]")) {
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
    // Follow it after the current one.
    if (isBusy()) next = run;
    else watch(async () => run);
  };
}

// Also show a run that the schedule or another user has started.
async function resume(button, watch) {
  const params = { kind: button.dataset.runKind, limit: 1 };
  // The page works without this request: if it fails, the button still works.
  const answer = await call("/api/admin/runs", { params }).catch(() => ({ data: [] }));
  const [latest] = answer.data;
  const isFollowed = button.ariaDisabled === "true";
  if (latest && UNFINISHED.includes(latest.state) && !isFollowed) watch(async () => latest);
}

/** Follow the run that `start` returns. `button` is inactive until the run ends. */
export async function follow(button, finished, start) {
  if (button.ariaDisabled === "true") return;
  // Not `disabled`, which would move the focus away from the button that was just pressed.
  button.ariaDisabled = "true";
  try {
    showStatus("Starting…", { isBusy: true });
    let run = await start();
    while (UNFINISHED.includes(run.state)) {
      describe(run);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      run = await call(`/api/admin/runs/${encodeURIComponent(run.run_id)}`);
    }
    if (run.state === "failed") {
      showStatus(run.error || "The run failed.", { look: "bad", advice: run.advice });
    } else {
      const found = (await finished(run)) || "Done. The figures below are up to date.";
      if (typeof found === "string") showStatus(found, { look: "good" });
      else showStatus(found.text, found);
    }
  } catch (problem) {
    if (isSignedOut(problem)) {
      showStatus("", { look: "bad" });
      document.querySelector("[data-run-text]").replaceChildren(...signedOut());
    } else {
      showStatus(problem.message, { look: "bad", advice: problem.advice });
    }
  } finally {
    button.ariaDisabled = null;
  }
}

function describe(run) {
  if (run.state === "queued") {
    const advice = queueAdvice(run, QUEUED_TOO_LONG_MS);
    showStatus("Waiting to start…", { isBusy: true, advice });
    return;
  }
  showStatus(progressOf(run), { isBusy: true, run });
}

/** What to check when a run has been queued for longer than `patience` milliseconds, else "". */
function queueAdvice(run, patience) {
  const isLate = Date.now() - Date.parse(run.created_at) > patience;
  return isLate ? "Still waiting. Check that quintile worker is running." : "";
}

/** The progress of a run: "Orders: 120 of 400" or, for a calculation, "Calculating… 40%". */
function progressOf(run) {
  if (run.kind === "build") {
    if (!run.total) return "Calculating…";
    return `Calculating… ${percent(Math.floor((100 * run.done) / run.total) / 100)}`;
  }
  if (!run.phase) return "Starting…";
  const phase = `${run.phase[0].toUpperCase()}${run.phase.slice(1)}`;
  if (run.total) return `${phase}: ${number(run.done)} of ${number(run.total)}`;
  return run.done ? `${phase}: ${number(run.done)}` : `${phase}…`;
}

// `look` is "good", "warn" or "bad", or empty while the run has not ended.
function showStatus(text, { isBusy = false, look = "", advice = "", run = null } = {}) {
  const box = document.querySelector("[data-run-status]");
  box.hidden = false;
  for (const each of ["good", "warn", "bad"]) box.classList.toggle(each, each === look);
  box.querySelector("[data-run-spinner]").hidden = !isBusy;
  const line = box.querySelector("[data-run-text]");
  // Screen readers would read an unchanged text again.
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
