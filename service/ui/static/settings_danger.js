// The danger zone: what is typed has to be the name of what is ended.

import { Problem, call } from "./api.js";
import { openFormDialog } from "./form_dialog.js";

const template = document.querySelector("[data-dialog=danger]");

for (const button of document.querySelectorAll("[data-danger]")) {
  const { danger: path, title, text, name } = button.dataset;
  button.addEventListener("click", () => {
    openFormDialog(title, template, {
      kind: "small",
      fill: (form) => {
        form.querySelector("[data-text]").textContent = text;
        form.querySelector("[data-name]").textContent = name;
        form.querySelector("[data-action]").textContent = button.textContent;
      },
      save: async (form) => {
        if (form.elements.confirmation.value.trim() !== name) {
          const detail = `This must be ${name}.`;
          throw new Problem({ detail, errors: [{ pointer: "#/confirmation", detail }] });
        }
        await call(path, { method: "DELETE" });
        location.reload();
      },
    });
  });
}
