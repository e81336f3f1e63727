// One synced list: status, preview, profiles, history and settings.

import { call, isSignedOut, messageOf } from "./api.js";
import { enableForms, make } from "./dom.js";
import { showRefusal, showStatus } from "./forms.js";
import { localise, number, timeElement } from "./format.js";
import {
  changesOf,
  configPath,
  enableLists,
  followSync,
  planElement,
  resumeFollowing,
  runBadge,
  sync,
} from "./klaviyo_parts.js";
import { list } from "./list.js";
import { enableRegions } from "./regions.js";

const id = document.querySelector("[data-config]").dataset.config;
const path = configPath(id);
const status = document.querySelector("main > [data-status]");
const isHistory = new URLSearchParams(location.search).get("tab") === "history";
const refresh = enableRegions((part) => {
  localise(part);
  enableForms(part);
});
enableLists(redraw);

function fail(problem) {
  if (isSignedOut(problem)) location.reload();
  else status.textContent = messageOf(problem);
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

syncNow.addEventListener("click", () => followSync(syncNow, () => sync([id]), redraw, [id]));
// Enabled only now that the handlers are attached.
preview.disabled = syncNow.disabled = false;

// -- profiles -----------------------------------------------------------------------------------

const rowStates = {
  synced: ["Synced", "good", ""],
  pending: ["Pending", "warn", "A change is being sent."],
  rejected: ["Rejected", "bad", ""],
  kept: ["Already on list", "", "Was on the list before. Never removed."],
  removed: ["Removed in Klaviyo", "warn", "Not added again unless you restore it."],
};

function rowState(row) {
  const [label, kind, hint] = rowStates[row.state];
  const why = row.error_detail || (row.error_code && codeWords(row.error_code));
  return make(
    "span",
    { class: "stack" },
    make("span", { class: `badge ${kind}` }, label),
    why || hint ? make("span", { class: "muted" }, why || hint) : null,
  );
}

function restoreButton(row) {
  if (row.state !== "removed") return "";
  const button = make(
    "button",
    { type: "button" },
    "Restore",
    make("span", { class: "visually-hidden" }, ` ${row.email}`),
  );
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await call(`${path}/rows/undo`, { method: "POST", body: { email: row.email } });
      await loadList();
      status.textContent = `The next sync adds ${row.email} to the list again.`;
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
  caption: "Profiles and their sync status",
  columns: [
    { label: "E-mail", cell: (row) => row.email },
    { label: "Status", cell: rowState },
    { label: "In segment", cell: (row) => (row.is_member ? "Yes" : "No") },
    { label: "Customer", cell: (row) => row.customer_id || "–" },
    { label: "Changed", kind: "num", cell: (row) => timeElement(row.changed_at) },
    { label: "Actions", kind: "num", cell: restoreButton },
  ],
  empty: () =>
    make(
      "div",
      { class: "state" },
      make("h3", {}, "No profiles yet"),
      make("p", {}, "Profiles appear here after the first sync. Preview shows what it would do."),
    ),
  loaded: ({ states }) => {
    const parts = Object.entries(rowStates)
      .filter(([name]) => states[name])
      .map(([name, [label]]) => `${number(states[name])} ${label[0].toLowerCase()}${label.slice(1)}`);
    document.querySelector("[data-states]").textContent = parts.join(", ");
  },
};

// -- history ------------------------------------------------------------------------------------

// The destination's codes are words with underscores.
const codeWords = (code) => code.replaceAll("_", " ");

function errorsOf(run) {
  const codes = Object.entries(run.errors).map(
    ([code, times]) => `${number(times)} × ${codeWords(code)}`,
  );
  return [run.error, run.advice, codes.join(", ")].filter(Boolean).join(" ") || "–";
}

const history = {
  path: `${path}/runs`,
  filters: [],
  caption: "Runs, newest first",
  columns: [
    { label: "Requested", cell: (run) => timeElement(run.requested_at) },
    {
      label: "Status",
      cell: (run) =>
        make(
          "span",
          { class: "badges" },
          runBadge(run),
          run.is_dry_run ? make("span", { class: "badge" }, "Preview") : null,
        ),
    },
    { label: "Changes", cell: (run) => (run.is_dry_run ? "None (preview)" : changesOf(run.counts) || "No changes") },
    { label: "Errors", cell: errorsOf },
    { label: "Requests", kind: "num", cell: (run) => number(run.calls) },
    {
      label: "Duration",
      kind: "num",
      cell: (run) =>
        run.duration_seconds === null ? "–" : `${number(Math.round(run.duration_seconds))} s`,
    },
    { label: "Actions", kind: "num", cell: planButton },
  ],
  empty: () =>
    make(
      "div",
      { class: "state" },
      make("h3", {}, "No syncs yet"),
      make("p", {}, "Preview shows what a sync would do. Sync now starts one."),
    ),
};

function planButton(run) {
  const button = make(
    "button",
    { type: "button", class: "quiet" },
    "Show plan",
    make("span", { class: "visually-hidden" }, ` of ${run.requested_at}`),
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
  await Promise.all([refresh(), loadList()]);
}

// -- settings -----------------------------------------------------------------------------------

async function save(form, body) {
  showStatus(form, status, "Saving…");
  try {
    await call(path, { method: "PATCH", body });
    status.textContent = "Saved.";
    await refresh();
  } catch (problem) {
    showRefusal(form, status, problem);
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
  save(event.target, body);
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
loadList();
resumeFollowing(syncNow, redraw, [id]);
