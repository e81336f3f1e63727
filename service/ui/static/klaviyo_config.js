// One list that is kept in step: how it is, a preview, its addresses, its history, its settings.

import { call, isSignedOut } from "./api.js";
import { enableForms, make } from "./dom.js";
import { number, timeElement } from "./format.js";
import {
  configBadge,
  configPath,
  facts,
  followSync,
  planElement,
  resume,
  runBadge,
  settle,
  sync,
  trouble,
} from "./klaviyo_parts.js";
import { list } from "./list.js";

const box = document.querySelector("[data-config]");
const id = box.dataset.config;
const path = configPath(id);
const told = document.querySelector("main > [data-told]");
const isHistory = new URLSearchParams(location.search).get("tab") === "history";

function fail(problem) {
  if (isSignedOut(problem)) location.reload();
  else told.textContent = `${problem.message} ${problem.advice || ""}`.trim();
}

async function show() {
  try {
    const row = await call(path);
    box.replaceChildren(
      make("p", { class: "badges" }, configBadge(row)),
      trouble(row, (what, button) => act(row, what, button)) || "",
      facts(row),
      make(
        "p",
        { class: "muted help" },
        row.direction === "pull"
          ? "Members here are those on the list who have an address."
          : "Members here are those of the segment who can be written to. Drift is how many addresses were yet to be added, taken off or accepted when the last sync ended.",
      ),
    );
    box.setAttribute("aria-busy", "false");
    return row;
  } catch (problem) {
    fail(problem);
    box.setAttribute("aria-busy", "false");
    return null;
  }
}

async function act(row, what, button) {
  if (what !== "resume") {
    await followSync(button, () => settle(row, what), redraw);
    return;
  }
  try {
    await settle(row, what);
    location.reload();
  } catch (problem) {
    fail(problem);
  }
}

// -- preview and sync ---------------------------------------------------------------------------

const preview = document.querySelector("[data-preview]");
const syncNow = document.querySelector("[data-sync]");
const plan = document.querySelector("[data-plan]");

preview.addEventListener("click", () => {
  let run = null;
  followSync(
    preview,
    async () => {
      run = await sync([id], { dry_run: true });
      return run;
    },
    async () => {
      if (run) await showPlan(run.run_id);
    },
  );
});

async function showPlan(runId) {
  try {
    plan.replaceChildren(...planElement(await call(`${path}/runs/${encodeURIComponent(runId)}`)));
    plan.hidden = false;
  } catch (problem) {
    fail(problem);
  }
}

syncNow.addEventListener("click", () => followSync(syncNow, () => sync([id]), redraw));
// Until here a click would have been lost.
preview.disabled = syncNow.disabled = false;

// -- addresses ----------------------------------------------------------------------------------

const rowStates = {
  synced: ["Synced", "good", ""],
  pending: ["Pending", "warn", "A change is on its way."],
  rejected: ["Rejected", "bad", ""],
  kept: ["There without us", "", "Was on the list already, and is never taken off it."],
  removed: ["Removed by a person", "warn", "Taken off the list in Klaviyo, and stays off."],
};

function rowState(row) {
  const [label, kind, hint] = rowStates[row.state];
  const why = [row.error_detail, row.error_code ? `(${row.error_code})` : ""].filter(Boolean);
  return make(
    "span",
    { class: "stack" },
    make("span", { class: `badge ${kind}` }, label),
    why.length > 0 || hint ? make("span", { class: "muted" }, why.join(" ") || hint) : null,
  );
}

function undo(row) {
  if (row.state !== "removed") return "";
  const button = make(
    "button",
    { type: "button" },
    "Put back",
    make("span", { class: "visually-hidden" }, ` ${row.email}`),
  );
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await call(`${path}/rows/undo`, { method: "POST", body: { email: row.email } });
      await loadList();
      told.textContent = `The next sync puts ${row.email} on the list again.`;
    } catch (problem) {
      button.disabled = false;
      fail(problem);
    }
  });
  return button;
}

const rows = {
  path: `${path}/rows`,
  filters: ["q", "state"],
  fragment: "",
  caption: "Addresses and what became of each",
  columns: [
    { label: "E-mail", cell: (row) => row.email },
    { label: "State", cell: rowState },
    { label: "In the segment", cell: (row) => (row.is_member ? "yes" : "no") },
    { label: "Customer", cell: (row) => row.customer_id || "–" },
    { label: "Changed", kind: "num", cell: (row) => timeElement(row.changed_at) },
    { label: "Undo", kind: "num", cell: undo },
  ],
  empty: () =>
    make(
      "div",
      { class: "state" },
      make("h3", {}, "No address yet"),
      make("p", {}, "The first sync fills this in. A preview shows beforehand what it would do."),
    ),
  loaded: ({ states }) => {
    const parts = Object.entries(rowStates)
      .filter(([name]) => states[name])
      .map(([name, [label]]) => `${number(states[name])} ${label.toLowerCase()}`);
    document.querySelector("[data-states]").textContent = parts.join(", ");
  },
};

// -- history ------------------------------------------------------------------------------------

function did(run) {
  const parts = ["added", "removed", "updated", "rejected", "skipped", "joined", "left", "events"]
    .filter((name) => run.counts[name])
    .map((name) => `${number(run.counts[name])} ${name}`);
  return parts.join(", ") || "nothing";
}

function problems(run) {
  const codes = Object.entries(run.errors).map(([code, times]) => `${code} ${number(times)}×`);
  return [run.error, run.advice, codes.join(", ")].filter(Boolean).join(" ") || "–";
}

const history = {
  path: `${path}/runs`,
  filters: [],
  fragment: "",
  caption: "Runs, newest first",
  columns: [
    { label: "Asked for", cell: (run) => timeElement(run.requested_at) },
    {
      label: "State",
      cell: (run) =>
        make(
          "span",
          { class: "badges" },
          runBadge(run),
          run.is_dry_run ? make("span", { class: "badge" }, "Preview") : null,
        ),
    },
    { label: "Did", cell: (run) => (run.is_dry_run ? "nothing, only planned" : did(run)) },
    { label: "Trouble", cell: problems },
    { label: "Calls", kind: "num", cell: (run) => number(run.calls) },
    {
      label: "Took",
      kind: "num",
      cell: (run) =>
        run.duration_seconds === null ? "–" : `${number(Math.round(run.duration_seconds))} s`,
    },
    { label: "Plan", kind: "num", cell: planLink },
  ],
  empty: () =>
    make(
      "div",
      { class: "state" },
      make("h3", {}, "Nothing has been done yet"),
      make("p", {}, "Preview shows what a sync would do; Sync now does it."),
    ),
};

function planLink(run) {
  const button = make(
    "button",
    { type: "button", class: "quiet" },
    "Show",
    make("span", { class: "visually-hidden" }, ` the plan of ${run.requested_at}`),
  );
  button.addEventListener("click", async () => {
    await showPlan(run.run_id);
    plan.scrollIntoView({ block: "nearest" });
  });
  return button;
}

const hasList = Boolean(document.querySelector("[data-list]"));
const loadList = hasList ? list(isHistory ? history : rows) : async () => {};

async function redraw() {
  const [row] = await Promise.all([show(), loadList()]);
  return row;
}

// -- settings -----------------------------------------------------------------------------------

async function save(body, done) {
  try {
    await call(path, { method: "PATCH", body });
    told.textContent = done;
    await show();
  } catch (problem) {
    fail(problem);
  }
}

document.querySelector("[data-change]")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const body = {};
  for (const name of ["is_scheduled", "sends_events", "fires_flows_on_first_sync"]) {
    const box = document.querySelector(`#${name}`);
    if (box) body[name] = box.checked;
  }
  const direction = document.querySelector("#direction");
  if (direction) body.direction = direction.value;
  save(body, "Saved.");
});

document.querySelector("[data-pause]")?.addEventListener("click", async (event) => {
  try {
    const body = { is_paused: event.target.dataset.pause === "yes" };
    await call(path, { method: "PATCH", body });
    location.reload();
  } catch (problem) {
    fail(problem);
  }
});

document.querySelector("[data-delete]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await call(path, { method: "DELETE" });
    location.assign("/admin/klaviyo");
  } catch (problem) {
    fail(problem);
  }
});
enableForms(document);

redraw().then((row) => resume(syncNow, row, redraw));
