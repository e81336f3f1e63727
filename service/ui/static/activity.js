// Past and current runs. schedules.js pauses and resumes schedules.

import { call, isSignedOut } from "./api.js";
import { make } from "./dom.js";
import { number, timeElement } from "./format.js";
import { list } from "./list.js";
import { progressOf, queueAdvice } from "./runs.js";

const POLL_MS = 1000;
const QUEUED_TOO_LONG_MS = 60_000;
const CHECK_FOR_NEWER_MS = 10_000;
const SILENT = "No progress for a while. It will be retried or ended automatically within minutes.";
const UNFINISHED = ["queued", "running"];
const filters = ["kind", "state", "trigger"];

const kinds = Object.fromEntries(
  [...document.querySelectorAll("#kind option")].map((option) => [option.value, option.text]),
);
const triggers = {
  schedule: "Scheduled",
  person: "Started by a user",
  webhook: "Started by a webhook",
  cli: "Started on the command line",
};
const states = {
  queued: ["Queued", ""],
  running: ["Running", "busy"],
  succeeded: ["Succeeded", "good"],
  failed: ["Failed", "bad"],
};

const status = document.querySelector("[data-status]");
const newer = document.querySelector("[data-newer]");
// Cells of unfinished runs by run id. They are redrawn as the run makes progress.
const liveCells = new Map();

const kindOf = (kind) => kinds[kind] || kind.replaceAll("_", " ");

// Counters of a run that succeeded and still leaves something to do.
const leftovers = ["stopped", "paused", "rejected", "events_rejected"];

function badge({ state, counts }) {
  const isOpen = state === "succeeded" && leftovers.some((name) => counts[name]);
  const [label, look] = isOpen ? ["Succeeded in part", "warn"] : states[state];
  return make("span", { class: `badge ${look}` }, label);
}

// -- runs -----------------------------------------------------------------------------------------

// A cell that is redrawn while its run is unfinished.
function liveCell(draw) {
  return (run) => {
    const cell = make("span", { class: "stack" }, ...draw(run));
    if (UNFINISHED.includes(run.state)) {
      liveCells.set(run.run_id, [...(liveCells.get(run.run_id) || []), { cell, draw }]);
    }
    return cell;
  };
}

const columns = [
  {
    label: "Run",
    cell: (run) =>
      make(
        "span",
        { class: "stack" },
        make("span", { class: "strong" }, kindOf(run.kind)),
        make("span", { class: "muted" }, triggers[run.trigger]),
      ),
  },
  { label: "Status", cell: liveCell((run) => [badge(run)]) },
  { label: "Result", cell: liveCell(outcome) },
  { label: "Requested", kind: "num", cell: (run) => timeElement(run.created_at) },
  { label: "Duration", kind: "num", cell: liveCell((run) => [duration(run)]) },
];

function outcome(run) {
  const parts = {
    queued: waiting,
    running: progress,
    succeeded: counts,
    failed: failure,
  }[run.state](run);
  if (run.attempts > 1) parts.push(make("span", { class: "muted" }, `Attempt ${run.attempts}`));
  return parts;
}

function waiting(run) {
  if (!run.next_attempt_at) {
    const advice = queueAdvice(run, QUEUED_TOO_LONG_MS) || "Waiting to start";
    return [make("span", { class: "muted" }, advice)];
  }
  return [
    ...failure(run),
    make("span", { class: "muted" }, "Retry at ", timeElement(run.next_attempt_at)),
  ];
}

function progress(run) {
  const parts = [make("span", {}, progressOf(run))];
  if (run.total) {
    const label = `Progress of ${kindOf(run.kind)}`;
    parts.push(make("progress", { max: run.total, value: run.done, "aria-label": label }));
  }
  if (run.is_silent) parts.push(make("span", { class: "muted" }, SILENT));
  return parts;
}

// Counters that are facts rather than amounts.
const notes = {
  withheld_fields: "some fields withheld by Shopify",
  orders_limited_to_60_days: "only the last 60 days of orders",
  unsupported_api_version: "answered by a different API version",
};

// Counters whose name says too little, for one and for several.
const nouns = {
  calls: ["request", "requests"],
  events_rejected: ["event rejected", "events rejected"],
  paused: ["list paused", "lists paused"],
  refreshed: ["profile off the lists updated", "profiles off the lists updated"],
  segment_members: ["segment member", "segment members"],
  skipped: ["left out", "left out"],
  stopped: ["list needs approval", "lists need approval"],
  written: ["record changed", "records changed"],
};

function counted(name, count) {
  const [one, many] = nouns[name] || [name.replaceAll("_", " "), name.replaceAll("_", " ")];
  return `${number(count)} ${count === 1 ? one : many}`;
}

function counts(run) {
  const words = Object.entries(run.counts)
    .filter(([, count]) => count)
    .map(([name, count]) => notes[name] || counted(name, count));
  // Builds have no counters.
  const uncounted = run.kind === "build" ? "Recalculated" : "No changes";
  return [make("span", {}, words.join(", ") || uncounted)];
}

function failure(run) {
  return [
    make("span", {}, run.error || "No error message."),
    run.advice ? make("span", { class: "muted" }, run.advice) : "",
  ];
}

function duration(run) {
  if (!run.started_at) return "–";
  const end = run.finished_at ? Date.parse(run.finished_at) : Date.now();
  const seconds = Math.max(0, Math.round((end - Date.parse(run.started_at)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function empty() {
  return make(
    "div",
    { class: "state" },
    make("h3", {}, "No runs yet"),
    make(
      "p",
      {},
      "Syncs start automatically once a store is connected.",
    ),
    make("a", { class: "button", href: "/admin/connections" }, "Open connections"),
  );
}

let newest = null;
const load = list({
  path: "/api/admin/runs",
  filters,
  caption: "Runs, newest first",
  columns,
  empty,
  loaded: ({ data: [first] }) => {
    newest = first?.run_id ?? null;
    newer.hidden = true;
  },
});

async function refresh() {
  liveCells.clear();
  await load();
}

async function follow() {
  for (const [id, cells] of [...liveCells]) {
    const run = await call(`/api/admin/runs/${encodeURIComponent(id)}`);
    for (const { cell, draw } of cells) cell.replaceChildren(...draw(run));
    if (UNFINISHED.includes(run.state)) continue;
    liveCells.delete(id);
    status.textContent = `${kindOf(run.kind)}: ${states[run.state][0].toLowerCase()}.`;
  }
}

async function checkForNewer() {
  const params = { limit: 1 };
  const inUrl = new URLSearchParams(location.search);
  if (inUrl.get("cursor")) return;
  for (const name of filters) if (inUrl.get(name)) params[name] = inUrl.get(name);
  const { data } = await call("/api/admin/runs", { params });
  newer.hidden = !data.length || data[0].run_id === newest;
}

// Repeat while the page is visible. A failure is ignored: the next repetition tries again.
function repeat(work, pause) {
  setTimeout(async () => {
    try {
      if (!document.hidden) await work();
    } catch (problem) {
      if (isSignedOut(problem)) {
        location.reload();
        return;
      }
    }
    repeat(work, pause);
  }, pause);
}

newer.addEventListener("click", refresh);
await refresh();
repeat(follow, POLL_MS);
repeat(checkForNewer, CHECK_FOR_NEWER_MS);
