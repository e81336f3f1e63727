// The creator form, used to add and to edit a creator.

import { isSignedOut, messageOf } from "./api.js";
import { enableForms } from "./dom.js";

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
      status.textContent = (await save(fields)) || "";
    } catch (problem) {
      if (isSignedOut(problem)) location.reload();
      else status.textContent = messageOf(problem);
    }
  });
  enableForms(form);
  return form;
}
