// The form of a creator, on the page that adds one and on the one that changes one.

import { isSignedOut } from "./api.js";
import { enableForms } from "./dom.js";

/** Wire the form: `save` gets its fields, an empty one as null. */
export function creatorForm(save) {
  const form = document.querySelector("[data-creator-form]");
  const told = form.querySelector("[data-form-told]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(
      [...new FormData(form)].map(([name, value]) => [name, value.trim() || null]),
    );
    try {
      told.textContent = (await save(fields)) || "";
    } catch (problem) {
      if (isSignedOut(problem)) location.reload();
      else told.textContent = `${problem.message} ${problem.advice || ""}`;
    }
  });
  enableForms(form);
  return form;
}
