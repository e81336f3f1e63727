// Edits the RFM segments, and which scores make which. Nothing is saved before the form is sent.

import { call, isSignedOut, messageOf } from "./api.js";
import { confirmed } from "./dialog.js";
import { enableForms, make } from "./dom.js";
import { localise } from "./format.js";
import { followRuns } from "./runs.js";

const PATH = "/api/admin/segments/rfm/rule";
const SCORES = [1, 2, 3, 4, 5];
const LONGEST_KEY = 40;
// Value of the choice that gives each spend score a segment of its own. No key has a space.
const BY_SPEND = "by spend";
const COLOUR = "#2f6fb3";

const form = document.querySelector("[data-rule]");
const list = form.querySelector("[data-segments]");
const grid = form.querySelector("[data-grid]");
const faults = form.querySelector("[data-faults]");
const status = form.querySelector("[data-status]");
const reset = form.querySelector("[data-reset]");
const follow = followRuns(() => "Done. Your segments have been recalculated.");

// What is edited: segments in order, and the id of the segment of each combination of scores. A saved
// segment's id is its key, which stays. A new one's is none that a key can be: its key may change.
let segments = [];
let cells = {};
let added = 0;
let saved = "";
let isBusy = false;

function load(rule) {
  segments = rule.segments.map((segment) => ({ ...segment, id: segment.segment, isNew: false }));
  cells = {};
  for (const { r_score: r, f_score: f, m_score: m, segment } of rule.grid) {
    for (const score of m === null ? SCORES : [m]) cells[[r, f, score]] = segment;
  }
  saved = JSON.stringify(ruleToSend());
  drawSegments();
  drawGrid();
}

// -- segments -----------------------------------------------------------------------------------

function drawSegments() {
  list.replaceChildren(...segments.map(segmentElement));
}

function segmentElement(segment, index) {
  const name = segment.label || "New segment";
  const field = (label, input) => make("div", { class: "field" }, make("label", { for: input.id }, label), input);
  const input = (property, attributes) => {
    const element = make("input", {
      id: `${property}-${index}`,
      autocomplete: "off",
      ...attributes,
      value: segment[property],
    });
    element.addEventListener("input", () => {
      segment[property] = element.value;
      if (property === "segment") segment.isTyped = true;
      if (property === "label") labelChanged(segment, index);
    });
    return element;
  };
  const button = (label, act, isDisabled) => {
    const element = make(
      "button",
      { type: "button", class: "quiet", disabled: isDisabled },
      label,
      make("span", { class: "visually-hidden" }, ` ${name}`),
    );
    element.addEventListener("click", act);
    return element;
  };
  return make(
    "li",
    {},
    make(
      "fieldset",
      { class: "definition" },
      make("legend", { class: "strong" }, name),
      field("Label", input("label", { maxlength: 60 })),
      // Marts and Klaviyo lists have the key, so that of a saved segment stays.
      field("Key", input("segment", { maxlength: LONGEST_KEY, spellcheck: "false", class: "mono", readonly: !segment.isNew })),
      field("Colour", input("colour", { type: "color" })),
      field("Description", input("description", { maxlength: 300 })),
      field("Suggested action", input("suggested_action", { maxlength: 300 })),
      make(
        "div",
        { class: "actions" },
        button("Move up", () => move(index, -1), index === 0),
        button("Move down", () => move(index, 1), index === segments.length - 1),
        button("Remove", () => remove(index), segments.length === 1),
      ),
    ),
  );
}

// A new segment gets its key from its label, unless the key was typed.
function labelChanged(segment, index) {
  if (segment.isNew && !segment.isTyped) {
    segment.segment = freeKey(segment);
    document.getElementById(`segment-${index}`).value = segment.segment;
  }
  document.querySelectorAll("legend")[index].textContent = segment.label || "New segment";
  drawGrid();
}

// The key that a label makes, with a number if another segment has it.
function freeKey(segment) {
  const words = segment.label.toLowerCase().normalize("NFKD").match(/[a-z0-9]+/g) || [];
  const wanted = words.join("_").replace(/^[0-9_]+/, "");
  const used = segments.filter((other) => other !== segment).map((other) => other.segment);
  let key = wanted.slice(0, LONGEST_KEY);
  for (let number = 2; key && used.includes(key); number += 1) {
    key = `${wanted.slice(0, LONGEST_KEY - `_${number}`.length)}_${number}`;
  }
  return key;
}

function move(index, by) {
  const [segment] = segments.splice(index, 1);
  segments.splice(index + by, 0, segment);
  drawSegments();
  drawGrid();
  const buttons = list.children[index + by].querySelectorAll("button");
  const [wanted, other] = by < 0 ? [buttons[0], buttons[1]] : [buttons[1], buttons[0]];
  (wanted.disabled ? other : wanted).focus();
}

// Its cells then have no segment, which is refused until each has one.
function remove(index) {
  segments.splice(index, 1);
  drawSegments();
  drawGrid();
  list.children[Math.min(index, segments.length - 1)].querySelector("input").focus();
}

form.querySelector("[data-add]").addEventListener("click", () => {
  added += 1;
  segments.push({
    id: `new ${added}`,
    segment: "",
    label: "",
    colour: COLOUR,
    description: "",
    suggested_action: "",
    isNew: true,
  });
  drawSegments();
  drawGrid();
  document.getElementById(`label-${segments.length - 1}`).focus();
});

// -- grid ---------------------------------------------------------------------------------------

const spendOf = (r, f) => SCORES.map((m) => cells[[r, f, m]]);

function drawGrid() {
  grid.replaceChildren(
    ...SCORES.toReversed().map((r) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, `${r}`),
        ...SCORES.map((f) => make("td", {}, ...cellElements(r, f))),
      ),
    ),
  );
}

function cellElements(r, f, isSplit = new Set(spendOf(r, f)).size > 1) {
  const name = `Recency ${r}, frequency ${f}`;
  const whole = chooser(name, isSplit ? BY_SPEND : cells[[r, f, 1]], true, (value) => {
    if (value !== BY_SPEND) for (const m of SCORES) cells[[r, f, m]] = value;
    whole.closest("td").replaceChildren(...cellElements(r, f, value === BY_SPEND));
    document.getElementById(whole.id).focus();
  });
  whole.id = `cell-${r}-${f}`;
  if (!isSplit) return [whole];
  const parts = SCORES.toReversed().map((m) =>
    make(
      "label",
      { class: "part" },
      `Spend ${m}`,
      chooser(`${name}, spend ${m}`, cells[[r, f, m]], false, (value) => {
        cells[[r, f, m]] = value;
      }),
    ),
  );
  return [whole, ...parts];
}

function chooser(name, value, canSplit, changed) {
  const known = segments.some((segment) => segment.id === value) || value === BY_SPEND;
  const option = (id, label) => make("option", { value: id, selected: id === value }, label);
  const select = make(
    "select",
    { "aria-label": name, "aria-invalid": known ? undefined : "true" },
    known ? null : option(value ?? "", "Choose…"),
    ...segments.map((segment) => option(segment.id, segment.label || "New segment")),
    canSplit ? option(BY_SPEND, "By spend…") : null,
  );
  select.addEventListener("change", () => {
    select.removeAttribute("aria-invalid");
    changed(select.value);
  });
  return select;
}

// The key of the segment with this id. That of a removed segment is refused, so it must not be one that
// a new segment has now.
function keyOf(id = "") {
  const found = segments.find((segment) => segment.id === id);
  if (found) return found.segment;
  return segments.some(({ segment }) => segment === id) ? "" : id;
}

// A cell that spend does not split is sent as one.
function gridToSend() {
  const sent = [];
  for (const r of SCORES) {
    for (const f of SCORES) {
      const ids = spendOf(r, f);
      const scores = new Set(ids).size > 1 ? SCORES : [null];
      for (const m of scores) {
        sent.push({ r_score: r, f_score: f, m_score: m, segment: keyOf(ids[(m ?? 1) - 1]) });
      }
    }
  }
  return sent;
}

function ruleToSend() {
  return {
    segments: segments.map(({ segment, label, colour, description, suggested_action }, index) => ({
      segment,
      label,
      colour,
      priority: index + 1,
      description,
      suggested_action,
    })),
    grid: gridToSend(),
  };
}

// -- saving -------------------------------------------------------------------------------------

function showFaults(problem) {
  const details = isSignedOut(problem)
    ? [signInAgain()]
    : [...new Set(problem.errors?.length ? problem.errors.map(explain) : [messageOf(problem)])];
  faults.replaceChildren(
    make("h3", {}, "Not saved"),
    make("ul", {}, ...details.map((detail) => make("li", {}, detail))),
  );
  faults.hidden = false;
  status.textContent = "";
}

// The form stays as it is: reloading the page would lose what was edited.
function signInAgain() {
  const link = make("a", { href: "/admin/sign-in", target: "_blank", rel: "noopener" }, "Sign in (opens in a new tab)");
  return make("span", {}, "Your session has ended. ", link, ", then try again here.");
}

const FIELDS = { segment: "Key", label: "Label", colour: "Colour", description: "Description", suggested_action: "Suggested action" };

// A sentence of the rule's own check names its segment; one about a field does not.
function explain({ pointer = "", detail }) {
  const [part, index, field] = pointer.replace(/^#\//, "").split("/");
  if (part === "segments" && field) {
    document.getElementById(`${field}-${index}`)?.setAttribute("aria-invalid", "true");
    if (detail.startsWith("This ")) {
      return `${FIELDS[field]} of segment ${Number(index) + 1}: ${detail}`;
    }
  }
  if (part === "grid" && field === "segment" && segments.every(({ segment }) => segment)) {
    return "Each combination of scores needs a segment. Choose one where the table has none.";
  }
  return detail;
}

async function send(method, body) {
  if (isBusy) return;
  isBusy = true;
  faults.hidden = true;
  for (const field of list.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  status.textContent = "Saving…";
  try {
    const { rule, run } = await call(PATH, { method, body });
    load(rule);
    reset.hidden = rule.is_published;
    document.querySelector("[data-changed]").textContent = rule.is_published
      ? "These are the default segments."
      : `Saved by ${rule.updated_by}.`;
    status.textContent = "Saved. Your segments are being recalculated.";
    follow(run);
  } catch (problem) {
    showFaults(problem);
  } finally {
    isBusy = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  send("PUT", ruleToSend());
});

reset.addEventListener("click", async () => {
  const isSure = await confirmed({
    title: "Use the default segments?",
    text: "They replace this store’s own segments and scores, also changes that are not saved. This cannot be undone.",
    action: "Use the default segments",
    isDestructive: true,
  });
  if (isSure) send("DELETE");
});

load(JSON.parse(document.getElementById("segment-rule").textContent));
localise(document);
enableForms(form);
form.hidden = false;
// The browser asks before unsaved input is lost.
window.addEventListener("beforeunload", (event) => {
  if (JSON.stringify(ruleToSend()) !== saved) event.preventDefault();
});
