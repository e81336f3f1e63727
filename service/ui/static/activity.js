// What runs by itself, what ran, and what is running now.

import { call, isSignedOut } from "./api.js";
import { make } from "./dom.js";
import { number, timeElement } from "./format.js";
import { list } from "./list.js";

const POLL_MS = 1000;
const PATIENCE_MS = 60_000;
const SILENT = "Not heard of for a while: taken up again by itself, or ended, within minutes.";
const LOOK_FOR_NEWER_MS = 10_000;
const UNFINISHED = ["queued", "running"];
const filters = ["kind", "state", "trigger"];

const kinds = Object.fromEntries(
  [...document.querySelectorAll("#kind option")].map((option) => [option.value, option.text]),
);
const triggers = {
  schedule: "by schedule",
  person: "by a person",
  webhook: "by a webhook",
  cli: "on the command line",
};
const states = {
  queued: ["Waiting", ""],
  running: ["Running", "busy"],
  succeeded: ["Succeeded", "good"],
  failed: ["Failed", "bad"],
};

const told = document.querySelector("[data-told]");
const newer = document.querySelector("[data-newer]");
// The cells of runs that have not ended, by the run's id: they are kept up to date.
const live = new Map();

const kindOf = (kind) => kinds[kind] || kind.replaceAll("_", " ");

function badge({ state }) {
  const [label, look] = states[state];
  return make("span", { class: `badge ${look}` }, label);
}

// -- runs -----------------------------------------------------------------------------------------

// A cell that is drawn again when its run has got further.
function redrawn(draw) {
  return (run) => {
    const cell = make("span", { class: "stack" }, ...draw(run));
    if (UNFINISHED.includes(run.state)) {
      live.set(run.run_id, [...(live.get(run.run_id) || []), { cell, draw }]);
    }
    return cell;
  };
}

const columns = [
  {
    label: "What",
    cell: (run) =>
      make(
        "span",
        { class: "stack" },
        make("span", { class: "strong" }, kindOf(run.kind)),
        make("span", { class: "muted" }, triggers[run.trigger]),
      ),
  },
  { label: "State", cell: redrawn((run) => [badge(run)]) },
  { label: "Outcome", cell: redrawn(outcome) },
  { label: "Asked for", kind: "num", cell: (run) => timeElement(run.created_at) },
  { label: "Took", kind: "num", cell: redrawn((run) => [duration(run)]) },
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
    const isLate = Date.now() - Date.parse(run.created_at) > PATIENCE_MS;
    return [
      make("span", { class: "muted" }, "Waits for its turn"),
      isLate ? make("span", { class: "muted" }, "Still waiting: is quintile worker running?") : "",
    ];
  }
  return [
    ...failure(run),
    make("span", { class: "muted" }, "Tried again at ", timeElement(run.next_attempt_at)),
  ];
}

function progress(run) {
  const amount = run.total
    ? `${number(run.done)} of ${number(run.total)}`
    : run.done
      ? number(run.done)
      : "";
  const phase = run.phase || "begins";
  const parts = [make("span", {}, amount ? `${phase}: ${amount}` : phase)];
  if (run.total) {
    const label = `Progress of ${kindOf(run.kind)}`;
    parts.push(make("progress", { max: run.total, value: run.done, "aria-label": label }));
  }
  if (run.is_silent) parts.push(make("span", { class: "muted" }, SILENT));
  return parts;
}

// Counters that only say that something is so.
const remarks = {
  orders_limited_to_60_days: "only 60 days of orders",
  unsupported_api_version: "answered by another version of the API",
};

function counts(run) {
  const words = Object.entries(run.counts)
    .filter(([, count]) => count)
    .map(([name, count]) => remarks[name] || `${number(count)} ${name.replaceAll("_", " ")}`);
  // A build counts nothing of its own.
  const without = run.kind === "build" ? "built and tested" : "nothing new";
  return [make("span", {}, words.join(", ") || without)];
}

function failure(run) {
  return [
    make("span", {}, run.error || "It did not say why."),
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
    make("h3", {}, "Nothing has run yet"),
    make(
      "p",
      {},
      "Syncs start by themselves once a store is connected; RFM can be calculated at any time.",
    ),
    make("a", { class: "button", href: "/admin/connections" }, "Connections"),
  );
}

let newest = null;
const load = list({
  path: "/api/admin/runs",
  filters,
  fragment: "",
  caption: "Runs, newest first",
  columns,
  empty,
  loaded: ({ data: [first] }) => {
    newest = first?.run_id ?? null;
    newer.hidden = true;
  },
});

async function refresh() {
  live.clear();
  await load();
}

async function follow() {
  for (const [id, cells] of [...live]) {
    const run = await call(`/api/admin/runs/${encodeURIComponent(id)}`);
    for (const { cell, draw } of cells) cell.replaceChildren(...draw(run));
    if (UNFINISHED.includes(run.state)) continue;
    live.delete(id);
    told.textContent = `${kindOf(run.kind)}: ${states[run.state][0].toLowerCase()}.`;
  }
}

async function lookForNewer() {
  const params = { limit: 1 };
  const given = new URLSearchParams(location.search);
  if (given.get("cursor")) return;
  for (const name of filters) if (given.get(name)) params[name] = given.get(name);
  const { data } = await call("/api/admin/runs", { params });
  newer.hidden = !data.length || data[0].run_id === newest;
}

// Again and again while somebody looks; a failure now is made up for at the next time.
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

// -- schedules ------------------------------------------------------------------------------------

const schedules = document.querySelector("[data-schedules]");

async function showSchedules() {
  try {
    const { data } = await call("/api/admin/schedules");
    schedules.replaceChildren(table(data));
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    else schedules.replaceChildren(unreadable(problem));
  }
  schedules.setAttribute("aria-busy", "false");
}

function table(rows) {
  const labels = ["Schedule", "When", "Next", "Last", ""];
  const head = labels.map((label) =>
    label
      ? make("th", { scope: "col" }, label)
      : make("td", {}, make("span", { class: "visually-hidden" }, "Pause or resume")),
  );
  return make(
    "div",
    { class: "panel" },
    make(
      "table",
      { class: "rows" },
      make("caption", { class: "visually-hidden" }, "Schedules"),
      make("thead", {}, make("tr", {}, ...head)),
      make("tbody", {}, ...rows.map(scheduleRow)),
    ),
  );
}

function scheduleRow(schedule) {
  const cell = (label, ...children) => make("td", { "data-label": label }, ...children);
  return make(
    "tr",
    { "data-schedule": schedule.name },
    make("th", { scope: "row" }, make("span", { class: "strong" }, schedule.label)),
    cell(
      "When",
      make(
        "span",
        { class: "stack" },
        inWords(schedule.cron),
        make("span", { class: "muted" }, schedule.time_zone),
      ),
    ),
    cell("Next", nextOf(schedule)),
    cell("Last", lastOf(schedule)),
    make("td", { class: "num" }, toggle(schedule)),
  );
}

// The shapes that schedules usually have; any other is shown as it is set.
const shapes = [
  [/^\*\/(\d+) \* \* \* \*$/, ([, minutes]) => `every ${minutes} minutes`],
  [/^(\d+) \* \* \* \*$/, ([, minute]) => `every hour, at :${minute.padStart(2, "0")}`],
  [/^0 \*\/(\d+) \* \* \*$/, ([, hours]) => `every ${hours} hours`],
  [
    /^(\d+) (\d+) \* \* \*$/,
    ([, minute, hour]) => `every day at ${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`,
  ],
];

function inWords(cron) {
  for (const [shape, words] of shapes) {
    const match = cron.match(shape);
    if (match) return make("span", {}, words(match));
  }
  return make("code", {}, cron);
}

function nextOf(schedule) {
  if (schedule.is_paused) {
    return make(
      "span",
      { class: "stack" },
      make("span", { class: "badge pending" }, "Paused"),
      make(
        "span",
        { class: "muted" },
        timeElement(schedule.paused_at),
        schedule.paused_by ? ` by ${schedule.paused_by}` : "",
      ),
    );
  }
  if (schedule.next_at) return timeElement(schedule.next_at);
  return make("span", { class: "muted" }, "once it is connected");
}

function lastOf({ last_run: run }) {
  if (!run) return make("span", { class: "muted" }, "–");
  return make(
    "span",
    { class: "stack" },
    badge(run),
    timeElement(run.finished_at || run.started_at || run.created_at),
  );
}

function toggle(schedule) {
  const { name, label, is_paused: isPaused } = schedule;
  const button = make(
    "button",
    { type: "button" },
    isPaused ? "Resume" : "Pause",
    make("span", { class: "visually-hidden" }, ` ${label}`),
  );
  button.addEventListener("click", () => change(button, name, label, !isPaused));
  return button;
}

async function change(button, name, label, isPaused) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  told.textContent = "";
  try {
    const path = `/api/admin/schedules/${encodeURIComponent(name)}`;
    const changed = await call(path, { method: "PATCH", body: { is_paused: isPaused } });
    const row = scheduleRow(changed);
    button.closest("tr").replaceWith(row);
    row.querySelector("button").focus();
    told.textContent = isPaused ? `${label}: paused until it is resumed.` : `${label}: resumed.`;
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    told.textContent = `${problem.message} ${problem.advice || ""}`.trim();
    button.ariaDisabled = null;
  }
}

function unreadable(problem) {
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", showSchedules);
  return make(
    "div",
    { class: "state bad", role: "alert" },
    make("h3", {}, problem.title || "That did not work"),
    make("p", {}, problem.message),
    button,
  );
}

newer.addEventListener("click", refresh);
await Promise.all([showSchedules(), refresh()]);
repeat(follow, POLL_MS);
repeat(lookForNewer, LOOK_FOR_NEWER_MS);
