// A form in a dialog, cloned from a <template> of the page: saving, refusals at their fields, and a
// question before typed text is lost.

import { DISCARD, openDialog } from "./dialog.js";
import { make } from "./dom.js";
import { showRefusal, showStatus } from "./forms.js";

const SHOWN_ONCE = {
  title: "Close without a copy?",
  text: "It is not shown again.",
  action: "Close",
  isDestructive: true,
};

/**
 * Open a dialog with the form of a template.
 * @param template     <template> with one form, which has a [data-form-status]
 * @param options.fill (form) => void: prepares the form
 * @param options.save async (form) => elements of `secretView` to show instead of the form, or nothing
 *                     to close
 * @param options.ids  names of the API's fields whose element has another id
 */
export function openFormDialog(title, template, { fill, save, ids = {}, kind = "medium" }) {
  const form = template.content.querySelector("form").cloneNode(true);
  fill?.(form);
  const status = form.querySelector("[data-form-status]");
  const button = form.querySelector("[type=submit]");
  let isChanged = false;
  let isSaving = false;
  let isShowingSecret = false;
  form.addEventListener("input", () => {
    isChanged = true;
  });
  const dialog = openDialog(title, [form], {
    hasChanges: () => isChanged || isShowingSecret,
    question: () => (isShowingSecret ? SHOWN_ONCE : DISCARD),
    kind,
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isSaving) return;
    isSaving = true;
    button.ariaDisabled = "true";
    try {
      showStatus(form, status, "Saving…");
      const shown = await save(form);
      isChanged = false;
      if (shown) {
        isShowingSecret = true;
        form.replaceWith(...shown);
        dialog.querySelector(".secret").focus();
      } else dialog.close();
    } catch (problem) {
      showRefusal(form, status, problem, ids);
    } finally {
      isSaving = false;
      button.ariaDisabled = null;
    }
  });
  return dialog;
}

/** Show a secret once, in a dialog that asks before it closes without a copy. */
export function showSecret(title, explanation, secret) {
  const dialog = openDialog(title, secretView(explanation, secret, () => dialog.close()), {
    hasChanges: () => true,
    question: () => SHOWN_ONCE,
    kind: "medium",
  });
  dialog.querySelector(".secret").focus();
}

/** A secret that is shown once, with a button that copies it. */
export function secretView(explanation, secret, close) {
  const status = make("p", { role: "status", class: "muted" });
  const copy = make("button", { type: "button", class: "primary" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(secret);
      status.textContent = "Copied.";
    } catch {
      status.textContent = "Select the text and copy it.";
    }
  });
  const done = make("button", { type: "button" }, "Done");
  done.addEventListener("click", close);
  return [
    make("p", {}, explanation),
    make("code", { class: "secret", tabindex: "0" }, secret),
    status,
    make("div", { class: "dialog-actions" }, copy, done),
  ];
}
