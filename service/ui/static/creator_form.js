// The form of a creator, used to add one and to edit one.

import { call } from "./api.js";
import { openDialog } from "./dialog.js";
import { make } from "./dom.js";
import { showRefusal, showStatus } from "./forms.js";
import { platforms } from "./sample_parts.js";

/**
 * @param options.values  fields of the creator, as far as they are known
 * @param options.action  label of the button that saves
 * @param options.save    async (fields) => void: gets the fields, empty ones as null
 * @param options.back    [label, () => void]: the button beside it
 */
export function creatorForm({ values = {}, action, save, back }) {
  const status = make("p", { role: "status" });
  const [label, leave] = back;
  const cancel = make("button", { type: "button" }, label);
  cancel.addEventListener("click", leave);
  const choices = Object.entries(platforms).map(([value, text]) =>
    make("option", { value, selected: value === (values.platform || "tiktok") }, text),
  );
  const form = make(
    "form",
    { class: "fields", novalidate: true },
    ...field("Handle", "handle", { value: values.handle, maxlength: "101", placeholder: "@ada.creates" }),
    make("label", { for: "platform" }, "Platform"),
    make("select", { id: "platform", name: "platform" }, ...choices),
    ...field("Name", "name", { value: values.name, maxlength: "255" }),
    ...field("E-mail", "email", { value: values.email, maxlength: "255", type: "email" }),
    ...field("Profile URL", "profile_url", {
      value: values.profile_url,
      maxlength: "500",
      type: "url",
      placeholder: "https://",
    }),
    make("label", { for: "notes" }, "Notes"),
    make("textarea", { id: "notes", name: "notes", rows: "2", maxlength: "5000" }, values.notes || ""),
    make(
      "p",
      { class: "muted" },
      "A handle, a name or an e-mail address is enough. Samples are matched by handle and e-mail address at the next calculation.",
    ),
    status,
    make(
      "div",
      { class: "dialog-actions" },
      cancel,
      make("button", { type: "submit", class: "primary" }, action),
    ),
  );
  let isSaving = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isSaving) return;
    isSaving = true;
    const fields = Object.fromEntries(
      [...new FormData(form)].map(([name, value]) => [name, value.trim() || null]),
    );
    showStatus(form, status, "Saving…");
    try {
      await save(fields);
    } catch (problem) {
      showRefusal(form, status, problem);
    } finally {
      isSaving = false;
    }
  });
  return form;
}

/** Whether something was typed into a form that leaving it would lose. */
export function isChanged(form) {
  return (
    [...form.querySelectorAll("input, textarea")].some((each) => each.value !== each.defaultValue) ||
    [...form.querySelectorAll("option")].some((each) => each.selected !== each.defaultSelected)
  );
}

/**
 * Open the form in a dialog.
 * @param creator  the creator to edit; null to add one
 * @param saved    async (creator) => void
 */
export function openCreator(creator, saved) {
  const form = creatorForm({
    values: creator || {},
    action: creator ? "Save" : "Add creator",
    save: async (fields) => {
      const path = creator ? `/api/admin/creators/${creator.creator_id}` : "/api/admin/creators";
      const answer = await call(path, { method: creator ? "PATCH" : "POST", body: fields });
      dialog.close();
      await saved(answer);
    },
    back: ["Cancel", () => dialog.querySelector(".cross").click()],
  });
  const dialog = openDialog(creator ? "Edit creator" : "Add a creator", [form], {
    kind: "small",
    hasChanges: () => isChanged(form),
  });
  form.querySelector("input").focus();
  return dialog;
}

function field(label, name, attributes) {
  return [
    make("label", { for: name }, label),
    make("input", { id: name, name, type: "text", autocomplete: "off", ...attributes, value: attributes.value || "" }),
  ];
}
