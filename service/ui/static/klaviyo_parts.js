// What the pages about Klaviyo share: states in words, plans, and following a sync.

import { call } from "./api.js";
import { make } from "./dom.js";
import { number, timeElement } from "./format.js";
import { follow } from "./runs.js";

export const api = "/api/admin/integrations/klaviyo";
export const configPath = (id) => `${api}/config/${encodeURIComponent(id)}`;
export const configPage = (id) => `/admin/klaviyo/${encodeURIComponent(id)}`;

const arrows = { push: "→", bidirectional: "↔" };
const directions = { push: "Push", pull: "Pull", bidirectional: "Both ways" };
const spokenArrows = { push: "feeds", bidirectional: "is in step with" };

const reasons = {
  no_address: "no e-mail address",
  invalid: "the address cannot be one",
  relay: "a marketplace's relay address",
  excluded: "excluded in the settings",
  redacted: "erased on request",
  duplicate: "another member has the same address",
  suppressed: "suppressed in Klaviyo",
  rejected: "rejected before",
  removed_by_person: "removed by a person",
};

const states = {
  queued: ["Waiting", "warn"],
  running: ["Syncing", "type"],
  succeeded: ["Done", "good"],
  failed: ["Failed", "bad"],
  stopped: ["Stopped", "warn"],
  paused: ["Paused", "warn"],
};

/** "Champions feeds VIP", with an arrow for the eye and a word for the ear. */
export function title(row) {
  if (row.direction === "pull") return [row.list_name];
  return [
    row.segment_name || row.segment_key,
    " ",
    make("span", { "aria-hidden": "true" }, arrows[row.direction]),
    make("span", { class: "visually-hidden" }, spokenArrows[row.direction]),
    " ",
    row.list_name,
  ];
}

/** How a run of a configuration ended, as a badge. */
export function runBadge(run) {
  const [label, kind] = states[run.state];
  return make("span", { class: `badge ${kind}` }, label);
}

/** How a configuration is, as a badge. */
export function configBadge(row) {
  const badge = (text, kind) => make("span", { class: `badge ${kind}` }, text);
  if (row.is_paused) return badge("Paused", "warn");
  if (!row.last_sync) return badge("Not synced yet", "");
  if (row.last_sync.state === "stopped") return badge("Waits for you", "warn");
  if (row.last_sync.state === "failed") return badge("Failed", "bad");
  if (["queued", "running"].includes(row.last_sync.state)) return runBadge(row.last_sync);
  return badge("In step", "good");
}

export function fact(label, ...value) {
  return make("div", {}, make("dt", {}, label), make("dd", {}, ...value));
}

/** What is known of a configuration, as a list of facts. */
export function facts(row) {
  const amount = (value) => (value === null ? "–" : number(value));
  const next = row.is_paused
    ? "paused"
    : row.next_sync_at
      ? timeElement(row.next_sync_at)
      : "when asked";
  return make(
    "dl",
    { class: "facts" },
    fact("Direction", directions[row.direction]),
    fact("Members here", amount(row.members_here)),
    fact("Members there", amount(row.members_there)),
    fact("Drift", row.drift === null ? "–" : number(row.drift)),
    fact("Last synced", row.last_synced_at ? timeElement(row.last_synced_at) : "never"),
    fact("Next", next),
  );
}

/**
 * What keeps a configuration from being in step, with what to press; null when nothing does.
 * `act` is called with "resume", "confirm" or "start-flows", and the button.
 */
export function trouble(row, act) {
  const button = (label, what) => {
    const element = make("button", { type: "button" }, label);
    element.addEventListener("click", () => act(what, element));
    return element;
  };
  if (row.is_paused) {
    const why = row.paused_by === "person" ? "It was paused by a person." : row.paused_reason;
    return note("warn", "Paused", [why], button("Go on", "resume"));
  }
  const last = row.last_sync;
  if (!last || !["failed", "stopped"].includes(last.state)) return null;
  const told = [last.error, last.advice].filter(Boolean);
  if (last.state === "failed") return note("bad", "The last sync failed", told);
  if (row.confirmed_removals !== null) {
    const agreed = `Agreed: up to ${number(row.confirmed_removals)} removals at the next sync.`;
    return note("warn", "Waits for the next sync", [agreed]);
  }
  if (last.stopped_for === "removals") {
    const label = `Take ${number(last.removals)} profiles off the list`;
    return note("warn", "Stopped before removing many", told, sure(label, "confirm", act));
  }
  const label = "Let the flow start for everyone";
  return note("warn", "Stopped before starting a flow", told, sure(label, "start-flows", act));
}

// What cannot be undone takes a tick and a press.
function sure(label, what, act) {
  const button = make("button", { type: "submit" }, "Agree and sync");
  const form = make(
    "form",
    { class: "actions" },
    make("label", { class: "check" }, make("input", { type: "checkbox", required: true }), ` ${label}`),
    button,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(what, button);
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

/** Do what a configuration's note offers; resolves to a run to follow, or null. */
export async function settle(row, what) {
  const path = configPath(row.config_id);
  if (what === "confirm") await call(`${path}/confirm`, { method: "POST" });
  else {
    const body = what === "resume" ? { is_paused: false } : { fires_flows_on_first_sync: true };
    await call(path, { method: "PATCH", body });
  }
  return what === "resume" ? null : sync([row.config_id]);
}

/** Start a sync, or a dry run, of some configurations or of all; resolves to the run. */
export function sync(ids, params = {}) {
  const body = ids ? { config_ids: ids } : {};
  return call(`${api}/sync`, { method: "POST", params, body });
}

/** Follow the run that `start` gives; `changed` draws anew what it has changed, however it ends. */
export async function followSync(button, start, changed) {
  await follow(button, outcome, start);
  await changed();
}

/** Follow a sync of the configuration that somebody else or the schedule has started. */
export function resume(button, row, changed) {
  const last = row?.last_sync;
  if (!last || !["queued", "running"].includes(last.state)) return;
  const path = `/api/admin/runs/${encodeURIComponent(last.run_id)}`;
  followSync(button, () => call(path), changed);
}

function outcome(run) {
  if (run.kind === "klaviyo_plan") return "Previewed: nothing has been changed.";
  const names = ["added", "removed", "updated", "rejected", "skipped", "joined", "left", "stopped", "paused"];
  const parts = names
    .filter((name) => run.counts[name])
    .map((name) => `${number(run.counts[name])} ${name}`);
  return parts.length > 0 ? `Done: ${parts.join(", ")}.` : "Done: nothing had to be changed.";
}

/** A plan with its counts, its reasons and examples. */
export function planElement(run) {
  const { plan } = run;
  const head = make("h2", { id: "plan-title" }, run.is_dry_run ? "Preview" : "Plan of the sync");
  if (!plan) return [head, make("p", {}, run.error || "There is no plan.")];
  const parts = [
    ["add", "To be added"],
    ["remove", "To be taken off"],
    ["update", "To be given new properties"],
    ["skip", "Left out"],
  ];
  return [
    make(
      "div",
      { class: "section-head" },
      head,
      make("p", { class: "muted" }, "As of ", timeElement(run.finished_at || run.requested_at)),
    ),
    plan.stop ? note("warn", "A sync would stop here", [plan.stop.message, plan.stop.advice || ""]) : null,
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
