// The RFM settings form. It sends changed fields only, shows errors beside their fields, and can
// undo the last change.

import { call } from "./api.js";
import { enableForms } from "./dom.js";
import { clearFields, markFields, NOT_SAVED, showRefusal, showStatus } from "./forms.js";
import { followRuns } from "./runs.js";

const PATH = "/api/admin/segments/rfm/settings";
const splitLines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

// How to read each field as the API's value, and write it back.
const fields = {
  window_days: { read: (input) => Number(input.value), write: writeText },
  additional_window_days: {
    read: (input) => input.value.split(/[\s,;]+/).filter(Boolean).map(wholeNumber),
    write: (input, days) => {
      input.value = days.join(", ");
    },
  },
  time_zone: { read: (input) => input.value.trim(), write: writeText },
  minimum_minor: {
    read: (input) => minorUnits(input.value.trim(), Number(input.dataset.exponent)),
    write: (input, minor) => {
      input.value = majorUnits(minor, Number(input.dataset.exponent));
    },
  },
  is_sample_counted: {
    read: (input) => input.checked,
    write: (input, value) => {
      input.checked = value;
    },
  },
  excluded_customer_ids: { read: (input) => splitLines(input.value), write: writeLines },
  excluded_domains: { read: (input) => splitLines(input.value), write: writeLines },
  relay_domains: { read: (input) => splitLines(input.value), write: writeLines },
};

// Anything else is sent as it is, for the API to refuse.
const wholeNumber = (text) => (/^\d+$/.test(text) ? Number(text) : text);

function writeText(input, value) {
  input.value = value;
}

function writeLines(input, values) {
  input.value = values.join("\n");
}

// Converted as text, because floating-point numbers would lose precision.
function minorUnits(text, exponent) {
  const found = /^(\d+)(?:[.,](\d*))?$/.exec(text || "0");
  if (!found || (found[2] || "").length > exponent) return null;
  return Number(found[1] + (found[2] || "").padEnd(exponent, "0"));
}

function majorUnits(minor, exponent) {
  const digits = String(minor).padStart(exponent + 1, "0");
  const point = digits.length - exponent;
  return exponent ? `${digits.slice(0, point)}.${digits.slice(point)}` : digits;
}

// `onRun` gets the run that recalculates with the new settings.
function settingsForm(onRun) {
  const form = document.querySelector("[data-settings]");
  const minimum = form.elements.minimum_minor;
  fields.minimum_minor.write(minimum, Number(minimum.dataset.minor));
  suggestZones(form);

  const undo = form.querySelector("[data-settings-undo]");
  const status = form.querySelector("[data-settings-status]");
  let saved = values(form);
  let isSaving = false;

  async function save(wanted, message) {
    if (isSaving) return;
    const change = difference(saved, wanted);
    clearFields(form);
    if (change.minimum_minor === null) {
      const exponent = Number(minimum.dataset.exponent);
      const example = majorUnits(25 * 10 ** exponent, exponent);
      markFields(form, { minimum_minor: `Enter an amount such as ${example}.` });
      status.textContent = NOT_SAVED;
      status.classList.add("field-error");
      return;
    }
    if (Object.keys(change).length === 0) {
      showStatus(form, status, "No changes to save.");
      return;
    }
    isSaving = true;
    showStatus(form, status, "Saving…");
    try {
      const answer = await call(PATH, { method: "PATCH", body: change });
      const before = saved;
      fill(form, answer.settings);
      saved = values(form);
      showStatus(form, status, message);
      undo.hidden = false;
      undo.onclick = () => save({ ...saved, ...pick(before, change) }, "Change undone.");
      onRun(answer.run);
    } catch (problem) {
      showRefusal(form, status, problem);
    } finally {
      isSaving = false;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(values(form), "Saved. Your segments are being recalculated.");
  });
  enableForms(form);
  // The browser asks before unsaved input is lost.
  window.addEventListener("beforeunload", (event) => {
    if (Object.keys(difference(saved, values(form))).length > 0) event.preventDefault();
  });
}

const pick = (source, keys) =>
  Object.fromEntries(Object.keys(keys).map((name) => [name, source[name]]));

function values(form) {
  return Object.fromEntries(
    Object.entries(fields).map(([name, { read }]) => [name, read(form.elements[name])]),
  );
}

function fill(form, settings) {
  for (const [name, { write }] of Object.entries(fields)) {
    write(form.elements[name], settings[name]);
  }
}

function difference(before, after) {
  const isSame = (name) => JSON.stringify(before[name]) === JSON.stringify(after[name]);
  return Object.fromEntries(Object.entries(after).filter(([name]) => !isSame(name)));
}

// Suggest the browser's list of time zones. The field accepts any zone that the service knows.
function suggestZones(form) {
  const zones = Intl.supportedValuesOf?.("timeZone") || [];
  const options = ["UTC", ...zones].map((zone) => new Option("", zone));
  form.querySelector("datalist").replaceChildren(...options);
}

settingsForm(followRuns(() => "Done. Your segments are up to date."));
