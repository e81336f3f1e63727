// Shared by the Klaviyo pages: the buttons of lists, plans, and following a sync.

import { call, callAll } from "./api.js";
import { make } from "./dom.js";
import { number, timeElement } from "./format.js";
import { attempt } from "./recalculate.js";
import { follow } from "./runs.js";

export const api = "/api/admin/integrations/klaviyo";
export const configPath = (id) => `${api}/config/${encodeURIComponent(id)}`;
export const configPage = (id) => `/admin/klaviyo/${encodeURIComponent(id)}`;

const reasons = {
  no_address: "no e-mail address",
  invalid: "invalid e-mail address",
  relay: "marketplace relay address",
  excluded: "excluded in settings",
  redacted: "erased on request",
  duplicate: "same address as another member",
  suppressed: "suppressed in Klaviyo",
  rejected: "previously rejected",
  removed_by_person: "removed in Klaviyo",
};

const states = {
  queued: ["Queued", "warn"],
  running: ["Syncing", "type"],
  succeeded: ["Done", "good"],
  failed: ["Failed", "bad"],
  stopped: ["Stopped", "warn"],
  paused: ["Paused", "warn"],
};

function note(kind, heading, sentences, ...controls) {
  return make(
    "div",
    { class: `note ${kind}` },
    make("p", { class: "strong" }, heading),
    make("p", {}, sentences.join(" ")),
    ...controls,
  );
}

/**
 * Connect the buttons of synced lists: sync, pause, resume and approve.
 * @param changed  async () => void: shows the lists again
 */
export function enableLists(changed) {
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button?.dataset.syncList) {
      const ids = [button.dataset.syncList];
      followSync(button, () => sync(ids), changed, ids);
    } else if (button?.dataset.setPaused) {
      const { listId, setPaused } = button.dataset;
      attempt(async () => {
        await change(listId, { is_paused: setPaused === "true" });
        await changed();
      });
    }
  });
  document.addEventListener("submit", (event) => {
    const { approve, listId } = event.target.dataset;
    if (!approve) return;
    event.preventDefault();
    const start = async () => {
      if (approve === "confirm") await call(`${configPath(listId)}/confirm`, { method: "POST" });
      else await change(listId, { fires_flows_on_first_sync: true });
      return sync([listId]);
    };
    followSync(event.submitter, start, changed, [listId]);
  });
}

const change = (id, body) => call(configPath(id), { method: "PATCH", body });

/** Start a sync or dry run of the given lists, or of all. Resolves to the run. */
export function sync(ids, params = {}) {
  const body = ids ? { config_ids: ids } : {};
  return call(`${api}/sync`, { method: "POST", params, body });
}

/**
 * Follow the run that `start` returns, then call `changed` to refresh the page. `ids` are the lists
 * that it was started for; none for all.
 */
export async function followSync(button, start, changed, ids = null) {
  await follow(button, (run) => outcome(run, ids), start);
  await changed();
}

/** Follow a sync on the page that the schedule or another user has started. */
export function resumeFollowing(button, changed, ids = null) {
  const run = document.querySelector("[data-region] [data-unfinished]")?.dataset.unfinished;
  if (!run) return;
  followSync(button, () => call(`/api/admin/runs/${encodeURIComponent(run)}`), changed, ids);
}

// What the run did to its lists. A run may have other lists than those it was started for, and also
// updates people who are on no list: only the counts of the lists themselves are shown.
async function outcome(run, ids) {
  if (run.kind === "klaviyo_plan") return "Preview ready. Nothing has been changed.";
  const data = await callAll(`${api}/config`);
  const rows = data.filter(
    (row) => row.last_sync?.run_id === run.run_id && (!ids || ids.includes(row.config_id)),
  );
  if (rows.length === 0) return { text: "No list was synced.", look: "warn" };
  const open = rows.filter((row) => row.last_sync.state !== "succeeded");
  const done = changesOf(total(rows.map((row) => row.last_sync.counts)));
  if (open.length === 0) {
    const lists = rows.length > 1 ? `${number(rows.length)} lists, ` : "";
    return `Done: ${lists}${done || "no changes needed"}.`;
  }
  if (rows.length === 1) return unfinished(rows[0].last_sync, done);
  const names = open.map((row) => `${row.list_name} (${states[row.last_sync.state][0].toLowerCase()})`);
  const others = rows.length - open.length;
  const rest = others > 0 ? ` ${number(others)} synced: ${done || "no changes needed"}.` : "";
  return { text: `Not synced: ${names.join(", ")}.${rest}`, look: "warn" };
}

// The outcome of one list that was stopped, paused or failed.
function unfinished(sync, done) {
  if (sync.state === "stopped") {
    const planned = Object.entries({ add: "to add", remove: "to remove", update: "to update" })
      .filter(([action]) => sync.planned?.[action])
      .map(([action, words]) => `${number(sync.planned[action])} ${words}`);
    const text = `Stopped: ${planned.join(", ")}. Nothing was changed. It needs your approval.`;
    return { text, look: "warn" };
  }
  return {
    text: `${states[sync.state][0]}${done ? `: ${done}` : ""}. ${sync.error || ""}`.trim(),
    advice: sync.advice,
    look: sync.state === "failed" ? "bad" : "warn",
  };
}

function total(counts) {
  const sums = {};
  for (const each of counts) {
    for (const [name, count] of Object.entries(each)) sums[name] = (sums[name] || 0) + count;
  }
  return sums;
}

/** What a sync did to profiles, such as "5 added, 1 removed"; empty if nothing. */
function changesOf(counts) {
  return ["added", "removed", "updated", "rejected", "skipped", "joined", "left", "events"]
    .filter((name) => counts[name])
    .map((name) => `${number(counts[name])} ${name}`)
    .join(", ");
}

/** A plan with counts, reasons and examples. */
export function planElement(run) {
  const { plan } = run;
  const head = make("h2", { id: "plan-title" }, run.is_dry_run ? "Preview" : "Sync plan");
  if (!plan) return [head, make("p", {}, run.error || "No plan available.")];
  const parts = [
    ["add", "To add"],
    ["remove", "To remove"],
    ["update", "To update"],
    ["skip", "Skipped"],
  ];
  return [
    make(
      "div",
      { class: "section-head" },
      head,
      make("p", { class: "muted" }, "As of ", timeElement(run.finished_at || run.requested_at)),
    ),
    plan.stop ? note("warn", "A sync would stop", [plan.stop.message, plan.stop.advice || ""]) : null,
    make(
      "dl",
      { class: "cards" },
      ...parts.map(([name, label]) =>
        make("div", { class: "card" }, make("dt", {}, label), make("dd", {}, number(plan[name].count))),
      ),
    ),
    ...parts.filter(([name]) => plan[name].count > 0).map(([name, label]) => examples(plan[name], label)),
  ].filter(Boolean);
}

function examples(part, label) {
  const why = Object.entries(part.reasons).map(
    ([reason, count]) => `${number(count)} ${reasons[reason] || reason}`,
  );
  return make(
    "details",
    { class: "panel more" },
    make("summary", {}, `${label}: ${number(part.count)}`),
    make(
      "div",
      { class: "padded" },
      why.length > 0 ? make("p", { class: "help" }, `${why.join(", ")}.`) : null,
      make(
        "ul",
        { class: "evidence" },
        ...part.examples.map((example) =>
          make(
            "li",
            {},
            example.email || `customer ${example.customer_id}`,
            example.reason
              ? make("span", { class: "muted" }, ` ${reasons[example.reason] || example.reason}`)
              : null,
          ),
        ),
      ),
      part.count > part.examples.length
        ? make("p", { class: "muted" }, `and ${number(part.count - part.examples.length)} more`)
        : null,
    ),
  );
}
