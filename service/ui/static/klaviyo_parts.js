// Shared by the Klaviyo pages: status labels, plans, and following a sync.

import { call, callAll } from "./api.js";
import { make } from "./dom.js";
import { number, timeElement } from "./format.js";
import { follow } from "./runs.js";

export const api = "/api/admin/integrations/klaviyo";
export const configPath = (id) => `${api}/config/${encodeURIComponent(id)}`;
export const configPage = (id) => `/admin/klaviyo/${encodeURIComponent(id)}`;

const arrows = { push: "→", bidirectional: "↔" };
export const directions = { push: "Push", pull: "Pull", bidirectional: "Two-way" };
const arrowNames = { push: "to", bidirectional: "two-way with" };

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

/** "Champions → VIP". Screen readers get a word instead of the arrow. */
export function title(row) {
  if (row.direction === "pull") return [row.list_name];
  return [
    row.segment_name || row.segment_key,
    " ",
    make("span", { "aria-hidden": "true" }, arrows[row.direction]),
    make("span", { class: "visually-hidden" }, arrowNames[row.direction]),
    " ",
    row.list_name,
  ];
}

/** The status of a run as a badge. */
export function runBadge(run) {
  const [label, kind] = states[run.state];
  return make("span", { class: `badge ${kind}` }, label);
}

/** The status of a synced list as a badge. */
export function configBadge(row) {
  const badge = (text, kind) => make("span", { class: `badge ${kind}` }, text);
  if (row.is_paused) return badge("Paused", "warn");
  if (!row.last_sync) return badge("Not synced yet", "");
  if (row.last_sync.state === "stopped") return badge("Needs your approval", "warn");
  if (row.last_sync.state === "failed") return badge("Failed", "bad");
  if (["queued", "running"].includes(row.last_sync.state)) return runBadge(row.last_sync);
  if (row.schedule_state === "not_connected") return badge("Not connected", "warn");
  // Its pause, which has ended, was the outcome of the last sync.
  if (row.last_sync.state === "paused") return badge("Not synced since the pause", "warn");
  if (row.has_segment_changed) return badge("Segment has changed", "warn");
  if (row.has_segment_changed === null) return badge("Synced", "");
  if (row.drift > 0) return badge("Changes pending", "warn");
  return badge("In sync", "good");
}

export function fact(label, ...value) {
  return make("div", {}, make("dt", {}, label), make("dd", {}, ...value));
}

/** The key facts of a synced list. */
export function facts(row) {
  const at = (time) => (time ? make("span", { class: "muted" }, " as of ", timeElement(time)) : "");
  const amount = (value, time) => (value === null ? ["–"] : [number(value), at(time)]);
  // These were counted for the segment as it was at the last plan.
  const pending = row.has_segment_changed ? ["Known at the next sync"] : amount(row.drift);
  return make(
    "dl",
    { class: "facts" },
    fact("Direction", directions[row.direction]),
    row.direction === "pull" ? null : fact("In segment", ...amount(row.segment_members, row.segment_as_of)),
    // A non-breaking hyphen, so that a narrow label does not break after the "e".
    fact("E\u2011mailable", ...amount(row.members_here, row.planned_at)),
    fact("In Klaviyo", ...amount(row.members_there, row.list_as_of)),
    fact("Pending changes", ...pending),
    fact("Last sync", row.last_synced_at ? timeElement(row.last_synced_at) : "Never"),
    fact("Next sync", nextSync(row)),
  );
}

function nextSync(row) {
  if (row.is_paused) return "Paused";
  if (row.next_sync_at) return timeElement(row.next_sync_at);
  if (row.schedule_state === "not_connected") return "Once connected";
  if (!row.is_scheduled) return "Manual";
  return "Schedule paused";
}

/**
 * A note about what keeps a list from syncing, with a control to resolve it; null if there is none.
 * `act` is called with "resume", "confirm" or "start-flows", and the button.
 */
export function problemNote(row, act) {
  const button = (label, action) => {
    const element = make("button", { type: "button" }, label);
    element.addEventListener("click", () => act(action, element));
    return element;
  };
  if (row.is_paused) {
    const why = row.paused_by === "person" ? "Paused by a user." : row.paused_reason;
    return note("warn", "Paused", [why], button("Resume", "resume"));
  }
  const last = row.last_sync;
  if (!last || !["failed", "stopped"].includes(last.state)) return null;
  const reasons = [last.error, last.advice].filter(Boolean);
  if (last.state === "failed") return note("bad", "The last sync failed", reasons);
  if (row.confirmed_removals !== null) {
    const approved = `Approved: up to ${number(row.confirmed_removals)} removals in the next sync.`;
    return note("warn", "Waiting for the next sync", [approved]);
  }
  if (last.stopped_for === "removals") {
    const label = `Remove ${number(last.removals)} profiles from the list`;
    const form = approval(label, "confirm", act);
    return note("warn", "Stopped: too many removals", reasons, form);
  }
  const label = "Trigger the flow for everyone";
  const form = approval(label, "start-flows", act);
  return note("warn", "Stopped: would trigger a flow", reasons, form);
}

// An action that cannot be undone needs a checkbox and a button.
function approval(label, action, act) {
  const button = make("button", { type: "submit" }, "Approve and sync");
  const form = make(
    "form",
    { class: "actions" },
    make("label", { class: "check" }, make("input", { type: "checkbox", required: true }), ` ${label}`),
    button,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(action, button);
  });
  return form;
}

function note(kind, heading, sentences, ...controls) {
  return make(
    "div",
    { class: `note ${kind}` },
    make("p", { class: "strong" }, heading),
    make("p", {}, sentences.join(" ")),
    ...controls,
  );
}

/** Carry out the action of a problem note. Resolves to a run to follow, or null. */
export async function resolveProblem(row, action) {
  const path = configPath(row.config_id);
  if (action === "confirm") await call(`${path}/confirm`, { method: "POST" });
  else {
    const body = action === "resume" ? { is_paused: false } : { fires_flows_on_first_sync: true };
    await call(path, { method: "PATCH", body });
  }
  return action === "resume" ? null : sync([row.config_id]);
}

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

/** Follow a sync of the list that the schedule or another user has started. */
export function resumeFollowing(button, row, changed, ids = null) {
  const last = row?.last_sync;
  if (!last || !["queued", "running"].includes(last.state)) return;
  const path = `/api/admin/runs/${encodeURIComponent(last.run_id)}`;
  followSync(button, () => call(path), changed, ids);
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
export function changesOf(counts) {
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
