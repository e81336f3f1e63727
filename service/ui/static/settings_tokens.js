// API tokens: create one, shown once, and revoke.

import { call, isSignedOut, messageOf } from "./api.js";
import { confirmed, toast } from "./dialog.js";
import { openFormDialog, secretView } from "./form_dialog.js";
import { localise } from "./format.js";

const path = "/api/admin/tokens";

localise(document);

document.querySelector("[data-open=new-token]").addEventListener("click", () => {
  const template = document.querySelector("[data-dialog=new-token]");
  const dialog = openFormDialog("Create token", template, {
    save: async (form) => {
      const given = new FormData(form);
      const days = given.get("expires_in_days");
      const { token } = await call(path, {
        method: "POST",
        body: {
          label: given.get("label"),
          scope: given.get("scope"),
          expires_in_days: days ? Number(days) : null,
        },
      });
      // The list behind the dialog has the new token, too.
      dialog.addEventListener("close", () => location.reload());
      return secretView("Copy the token now. It is not shown again.", token, () => dialog.close());
    },
  });
});

for (const button of document.querySelectorAll("[data-revoke]")) {
  button.addEventListener("click", async () => {
    const isSure = await confirmed({
      title: `Revoke ${button.dataset.label}?`,
      text: "Programs that send this token, and sessions that it began, stop working at once.",
      action: "Revoke",
      isDestructive: true,
    });
    if (!isSure) return;
    try {
      await call(`${path}/${button.dataset.revoke}`, { method: "DELETE" });
      location.reload();
    } catch (problem) {
      if (isSignedOut(problem)) location.reload();
      else toast(messageOf(problem));
    }
  });
}
