// Edits the RFM segments, and which scores make which. Nothing is saved before the form is sent.

import { call, isSignedOut, messageOf } from "./api.js";
import { enableForms, make } from "./dom.js";
import { localise } from "./format.js";
import { followRuns } from "./runs.js";

const PATH = "/api/admin/segments/rfm/rule";
const SCORES = [1, 2, 3, 4, 5];
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

// What is edited: segments in order, and the segment of each combination of scores.
let segments = [];
let cells = {};
let isBusy = false;

function load(rule) {
  segments = rule.segments.map((segment) => ({ ...segment, isNew: false }));
  cells = {};
  for (const { r_score: r, f_score: f, m_score: m, segment } of rule.grid) {
    for (const score of m === null ? SCORES : [m]) cells[[r, f, score]] = segment;
  }
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
      field("Key", input("segment", { maxlength: 40, spellcheck: "false", class: "mono", readonly: !segment.isNew })),
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
    const words = segment.label.toLowerCase().normalize("NFKD").match(/[a-z0-9]+/g) || [];
    renameKey(segment, words.join("_").replace(/^[0-9_]+/, "").slice(0, 40));
    document.getElementById(`segment-${index}`).value = segment.segment;
  }
  document.querySelectorAll("legend")[index].textContent = segment.label || "New segment";
  drawGrid();
}

function renameKey(segment, key) {
  for (const [scores, name] of Object.entries(cells)) {
    if (name === segment.segment) cells[scores] = key;
  }
  segment.segment = key;
}

list.addEventListener("change", (event) => {
  const index = [...list.children].indexOf(event.target.closest("li"));
  if (event.target.id === `segment-${index}`) {
    segments[index].isTyped = true;
    drawGrid();
  }
});

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
  segments.push({ segment: "", label: "", colour: COLOUR, description: "", suggested_action: "", isNew: true });
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
  const known = segments.some((segment) => segment.segment === value) || value === BY_SPEND;
  const option = (key, label) => make("option", { value: key, selected: key === value }, label);
  const select = make(
    "select",
    { "aria-label": name, "aria-invalid": known ? undefined : "true" },
    known ? null : option(value ?? "", "Choose…"),
    ...segments.map((segment) => option(segment.segment, segment.label || "New segment")),
    canSplit ? option(BY_SPEND, "By spend…") : null,
  );
  select.addEventListener("change", () => {
    select.removeAttribute("aria-invalid");
    changed(select.value);
  });
  return select;
}

// A cell that spend does not split is sent as one.
function gridToSend() {
  const sent = [];
  for (const r of SCORES) {
    for (const f of SCORES) {
      const names = spendOf(r, f);
      const scores = new Set(names).size > 1 ? SCORES : [null];
      for (const m of scores) {
        sent.push({ r_score: r, f_score: f, m_score: m, segment: names[(m ?? 1) - 1] ?? "" });
      }
    }
  }
  return sent;
}

// -- saving -------------------------------------------------------------------------------------

function showFaults(problem) {
  if (isSignedOut(problem)) location.reload();
  const details = problem.errors?.length ? problem.errors.map(explain) : [messageOf(problem)];
  faults.replaceChildren(
    make("h3", {}, "Not saved"),
    make("ul", {}, ...[...new Set(details)].map((text) => make("li", {}, text))),
  );
  faults.hidden = false;
  status.textContent = "";
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
  send("PUT", {
    segments: segments.map(({ segment, label, colour, description, suggested_action }, index) => ({
      segment,
      label,
      colour,
      priority: index + 1,
      description,
      suggested_action,
    })),
    grid: gridToSend(),
  });
});
reset.addEventListener("click", () => send("DELETE"));

load(JSON.parse(document.getElementById("segment-rule").textContent));
localise(document);
enableForms(form);
form.hidden = false;
