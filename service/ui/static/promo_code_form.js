// The form of a promo code in a dialog: create one, or edit one.

import { call, callAll } from "./api.js";
import { make } from "./dom.js";
import { openFormDialog } from "./form_dialog.js";
import { number } from "./format.js";
import { toField, toMoment } from "./zoned.js";

const path = "/api/admin/promo-codes";
export const pathOf = (code) => `${path}/${encodeURIComponent(code)}`;
const pageOf = (code) => `/admin/promo-codes/${encodeURIComponent(code)}`;

// The fields of the API whose element has another id.
const ids = {
  percentage: "value",
  amount: "value",
  segments: "find-segments",
  excluded_segments: "find-excluded",
};

/**
 * Open the form.
 * @param code    the promo code to edit; null to create one
 * @param segment id of a segment that is chosen at first
 */
export function openPromoCodeForm(code, segment = "") {
  const template = document.querySelector("[data-dialog=promo-code]");
  let before;
  return openFormDialog(code ? `Edit ${code.code}` : "Create promo code", template, {
    kind: "wide",
    ids,
    fill: (form) => {
      fill(form, code, segment);
      before = valuesOf(form, code);
    },
    save: async (form) => {
      const values = valuesOf(form, code);
      const saving = code ? change(code, changed(values, before)) : create(form, values);
      const saved = await saving.catch(toldInPercent);
      location.assign(pageOf(saved.code));
    },
  });
}

const create = (form, values) =>
  call(path, { method: "POST", body: { code: form.elements.code.value, ...values } });

const change = async (code, body) =>
  Object.keys(body).length > 0 ? call(pathOf(code.code), { method: "PATCH", body }) : code;

// The API means the share: "1 or less", "at most 4 decimal places".
function toldInPercent(problem) {
  for (const error of problem.errors || []) {
    if (error.pointer === "#/percentage") {
      error.detail = "This must be above 0 and up to 100, with at most two decimal places.";
    }
  }
  throw problem;
}

// Only these are sent. A field shows less than the code has, for example no seconds of a time.
function changed(values, before) {
  const isChanged = ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]);
  return Object.fromEntries(Object.entries(values).filter(isChanged));
}

function fill(form, code, segment) {
  const fields = form.elements;
  const showUnit = () => {
    const unit = form.querySelector("[data-unit]");
    const isShare = fields.kind.value === "percentage";
    unit.textContent = isShare ? "Percent" : unit.dataset.amountUnit;
    fields.value.placeholder = isShare ? "20" : "10.00";
  };
  if (code) {
    form.querySelector("[data-code-field]").hidden = true;
    form.querySelector("[data-action]").textContent = "Save";
    fields.code.autofocus = false;
    fields.title.autofocus = true;
    fields.title.value = code.title;
    fields.kind.value = code.percentage === null ? "amount" : "percentage";
    fields.value.value = code.percentage === null ? code.amount : inPercent(code.percentage);
    fields.starts_at.value = toField(code.starts_at);
    fields.ends_at.value = toField(code.ends_at);
    fields.usage_limit.value = code.usage_limit ?? "";
    fields.once_per_customer.checked = code.once_per_customer;
    form.querySelector("[data-excluding]").open = code.excluded_segments.length > 0;
    addGone(form, "segments", code.segments);
    addGone(form, "excluded_segments", code.excluded_segments);
  }
  fields.kind.addEventListener("change", showUnit);
  showUnit();
  enablePicker(form, "segments", code ? code.segments : [segment]);
  enablePicker(form, "excluded_segments", code ? code.excluded_segments : []);
  showSizes(form);
}

// Counting all members takes longer than showing the form.
async function showSizes(form) {
  const targets = await callAll("/api/admin/segments/targets").catch(() => []);
  const known = Object.fromEntries(targets.map((target) => [target.id, target]));
  for (const option of form.querySelectorAll(".option")) {
    const box = option.querySelector("input");
    const target = known[box.value];
    if (target || !option.matches("[data-gone]")) {
      option.querySelector("[data-size]").textContent = target ? describe(target) : "";
    }
    // One that is chosen and cannot be used any more has to be removable.
    if (target?.reason && !box.checked) box.disabled = true;
  }
}

function describe({ reason, in_words: words, advice, size, emailable }) {
  if (reason) return `${words} ${advice}`;
  if (size === null) return "not counted yet";
  const customers = size === 1 ? "customer" : "customers";
  return `${number(size)} ${customers}, ${number(emailable ?? 0)} e-mailable`;
}

// Without the digits that a binary fraction adds: 0.07 is 7, not 7.000000000000001.
const inPercent = (share) => String(Number((share * 100).toFixed(2)));

// Segments of the code that cannot be chosen any more stay, until they are unticked.
function addGone(form, name, chosen) {
  const picker = form.querySelector(`[data-picker=${name}]`);
  const known = new Set([...picker.querySelectorAll(".option input")].map((box) => box.value));
  const options = chosen
    .filter((id) => !known.has(id))
    .map((id) =>
      make(
        "label",
        { class: "option", "data-gone": true },
        make("input", { type: "checkbox", name, value: id }),
        make(
          "span",
          {},
          make("span", { class: "strong" }, id),
          make("span", { class: "muted", "data-size": true }, "no longer exists"),
        ),
      ),
    );
  picker.querySelector(".options").prepend(...options);
}

function enablePicker(form, name, chosen) {
  const picker = form.querySelector(`[data-picker=${name}]`);
  const search = picker.querySelector("[type=search]");
  const options = [...picker.querySelectorAll(".option")];
  const boxes = options.map((option) => option.querySelector("input"));
  for (const box of boxes) box.checked = chosen.includes(box.value);
  const count = () => {
    const amount = boxes.filter((box) => box.checked).length;
    picker.querySelector("[data-chosen]").textContent = amount ? `${number(amount)} chosen` : "";
  };
  picker.addEventListener("change", count);
  count();
  search.addEventListener("input", () => {
    const text = search.value.trim().toLowerCase();
    for (const option of options) {
      option.hidden = !option.textContent.toLowerCase().includes(text);
    }
    for (const source of picker.querySelectorAll("[data-source]")) source.hidden = text !== "";
    picker.querySelector("[data-none]").hidden = options.some((option) => !option.hidden);
  });
  // Enter in the search must not send the form.
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
}

// `code` is the promo code that is edited; null for a new one.
function valuesOf(form, code) {
  const fields = form.elements;
  const text = (name) => fields[name].value.trim();
  const typed = text("value");
  // "7,50" is 7.50. "1,000" may be one or a thousand: it is sent as it is, for the API to refuse.
  const value = /,\d{3}$/.test(typed) ? typed : typed.replace(",", ".");
  const isShare = fields.kind.value === "percentage";
  const chosen = (name) =>
    [...form.querySelectorAll(`[name=${name}]:checked`)].map((box) => box.value);
  const values = {
    percentage: isShare ? shareOf(value) : null,
    amount: isShare ? null : value,
    ends_at: toMoment(text("ends_at")),
    usage_limit: text("usage_limit") || null,
    once_per_customer: fields.once_per_customer.checked,
    segments: chosen("segments"),
    excluded_segments: chosen("excluded_segments"),
  };
  // For a new code, the API sets what is not given. Of a known one, it leaves that as it is.
  const title = text("title") || code?.code;
  const start = toMoment(text("starts_at")) || (code ? new Date().toISOString() : null);
  if (title) values.title = title;
  if (start) values.starts_at = start;
  return values;
}

// Not rounded: the API refuses more digits than it stores. So it does with what is no plain number;
// "1e-1" as it is would be a tenth of the order.
const shareOf = (value) => (/^-?\d*\.?\d*$/.test(value) ? `${value}e-2` : `${value}%`);
