// The form of RFM's settings: it sends what was changed, shows what is wrong beside its field, and
// can take the last change back.

import { call, isSignedOut } from "./api.js";
import { enableForms } from "./dom.js";

const PATH = "/api/admin/segments/rfm/settings";
const listed = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

// How each field's text becomes the API's value, and back.
const fields = {
  window_days: { read: (input) => Number(input.value), write: plain },
  time_zone: { read: (input) => input.value.trim(), write: plain },
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
  excluded_customer_ids: { read: (input) => listed(input.value), write: lines },
  excluded_domains: { read: (input) => listed(input.value), write: lines },
};

function plain(input, value) {
  input.value = value;
}

function lines(input, values) {
  input.value = values.join("\n");
}

// As text, not as a product of floating-point numbers.
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

/** Wire the form; `started` is told the run that puts a change to work. */
export function settingsForm(started) {
  const form = document.querySelector("[data-settings]");
  const minimum = form.elements.minimum_minor;
  fields.minimum_minor.write(minimum, Number(minimum.dataset.minor));
  suggestZones(form);

  const undo = form.querySelector("[data-settings-undo]");
  let saved = values(form);
  let isSaving = false;

  async function save(wanted, words) {
    if (isSaving) return;
    const change = difference(saved, wanted);
    clear(form);
    if (change.minimum_minor === null) {
      const exponent = Number(minimum.dataset.exponent);
      const example = majorUnits(25 * 10 ** exponent, exponent);
      complain(form, { minimum_minor: `This is not an amount; it looks like ${example}.` });
      return;
    }
    if (Object.keys(change).length === 0) {
      tell(form, "Nothing has been changed.");
      return;
    }
    isSaving = true;
    tell(form, "Saving …");
    try {
      const answer = await call(PATH, { method: "PATCH", body: change });
      const before = saved;
      show(form, answer.settings);
      saved = values(form);
      tell(form, words);
      undo.hidden = false;
      undo.onclick = () => save({ ...saved, ...pick(before, change) }, "Taken back.");
      started(answer.run);
    } catch (problem) {
      if (isSignedOut(problem)) location.reload();
      else refuse(form, problem);
    } finally {
      isSaving = false;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(values(form), "Saved. Your segments are being recalculated.");
  });
  enableForms(form);
}

const pick = (source, keys) =>
  Object.fromEntries(Object.keys(keys).map((name) => [name, source[name]]));

function values(form) {
  return Object.fromEntries(
    Object.entries(fields).map(([name, { read }]) => [name, read(form.elements[name])]),
  );
}

function show(form, settings) {
  for (const [name, { write }] of Object.entries(fields)) {
    write(form.elements[name], settings[name]);
  }
}

function difference(before, after) {
  const isSame = (name) => JSON.stringify(before[name]) === JSON.stringify(after[name]);
  return Object.fromEntries(Object.entries(after).filter(([name]) => !isSame(name)));
}

// A part of a list that is wrong is told beside the list.
function refuse(form, problem) {
  const errors = {};
  for (const { pointer = "", detail } of problem.errors) {
    const [, name] = pointer.split("/");
    if (fields[name]) errors[name] = detail;
  }
  if (Object.keys(errors).length > 0) complain(form, errors);
  else tell(form, [problem.message, problem.advice].filter(Boolean).join(" "), { isBad: true });
}

function complain(form, errors) {
  for (const [name, detail] of Object.entries(errors)) {
    form.elements[name].setAttribute("aria-invalid", "true");
    const place = document.getElementById(`${name}-error`);
    place.textContent = detail;
    place.hidden = false;
  }
  tell(form, "Not saved: see above.", { isBad: true });
  form.elements[Object.keys(errors)[0]].focus();
}

function clear(form) {
  for (const name of Object.keys(fields)) {
    form.elements[name].removeAttribute("aria-invalid");
    document.getElementById(`${name}-error`).hidden = true;
  }
}

function tell(form, text, { isBad = false } = {}) {
  const status = form.querySelector("[data-settings-status]");
  status.textContent = text;
  status.classList.toggle("field-error", isBad);
}

// The browser's own list of zones, where it has one; the field takes any that the service knows.
function suggestZones(form) {
  const zones = Intl.supportedValuesOf?.("timeZone") || [];
  const options = ["UTC", ...zones].map((zone) => new Option("", zone));
  form.querySelector("datalist").replaceChildren(...options);
}
