// The form of a promo code in a dialog: create one, or edit one.

import { call, callAll } from "./api.js";
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
  return openFormDialog(code ? `Edit ${code.code}` : "Create promo code", template, {
    kind: "wide",
    ids,
    fill: (form) => fill(form, code, segment),
    save: async (form) => {
      const body = valuesOf(form);
      const saved = code
        ? await call(pathOf(code.code), { method: "PATCH", body })
        : await call(path, { method: "POST", body: { code: form.elements.code.value, ...body } });
      location.assign(pageOf(saved.code));
    },
  });
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
    option.querySelector("[data-size]").textContent = target ? describe(target) : "";
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

function valuesOf(form) {
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
  if (text("title")) values.title = text("title");
  if (text("starts_at")) values.starts_at = toMoment(text("starts_at"));
  return values;
}

// What is no number is sent as it is, for the API to refuse.
const shareOf = (value) =>
  value === "" || Number.isNaN(Number(value)) ? value : (Number(value) / 100).toFixed(4);
