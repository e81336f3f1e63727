// The creator form, used to add and to edit a creator.

import { enableForms } from "./dom.js";
import { showRefusal, showStatus } from "./forms.js";

/** Connect the form. `save` gets its fields, empty ones as null. */
export function creatorForm(save) {
  const form = document.querySelector("[data-creator-form]");
  const status = form.querySelector("[data-form-status]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(
      [...new FormData(form)].map(([name, value]) => [name, value.trim() || null]),
    );
    try {
      showStatus(form, status, "Saving…");
      showStatus(form, status, (await save(fields)) || "");
    } catch (problem) {
      showRefusal(form, status, problem);
    }
  });
  enableForms(form);
  return form;
}
