// One creator: edit, merge and delete.

import { call, messageOf } from "./api.js";
import { combobox } from "./combobox.js";
import { linkCreator } from "./creator_dialog.js";
import { openCreator } from "./creator_form.js";
import { confirmed, openDialog, toast } from "./dialog.js";
import { make } from "./dom.js";
import { localise } from "./format.js";
import { attempt, recalculation } from "./recalculate.js";
import { enableRegions } from "./regions.js";
import { creatorName, platforms } from "./sample_parts.js";

const id = document.querySelector("[data-creator]").dataset.creator;
const path = `/api/admin/creators/${encodeURIComponent(id)}`;
const reload = enableRegions(localise);
const recalculate = recalculation(reload);

async function edit() {
  openCreator(await call(path), async () => {
    await reload();
    toast("Saved.");
  });
}

async function remove() {
  const isSure = await confirmed({
    title: "Delete this creator?",
    text: "Their samples stay, without a creator. This cannot be undone.",
    action: "Delete creator",
    isDestructive: true,
  });
  if (!isSure) return;
  await call(path, { method: "DELETE" });
  location.assign("/admin/samples/creators");
}

// First the other creator is found, then the merge is confirmed.
function merge() {
  const status = make("p", { role: "status" });
  const dialog = openDialog(
    "Merge a duplicate",
    [
      make(
        "p",
        { class: "muted" },
        "Samples, handle and e-mail address of the other creator move to this one, and the other is deleted.",
      ),
      combobox({
        label: "Other creator",
        placeholder: "Handle, name or e-mail",
        search: async (text, signal) => {
          const params = { limit: 9, ...(text && { q: text }) };
          const { data } = await call("/api/admin/creators", { params, signal });
          return data
            .filter((other) => other.creator_id !== id)
            .map((other) => ({ value: other, text: creatorName(other), note: platforms[other.platform] }));
        },
        chosen: ({ value }) => {
          dialog.close();
          attempt(() => mergeWith(value));
        },
        failed: (problem) => {
          status.textContent = messageOf(problem);
        },
      }),
      status,
    ],
    { kind: "small" },
  );
  dialog.querySelector("input").focus();
}

async function mergeWith(other) {
  const isSure = await confirmed({
    title: `Merge ${creatorName(other)} into this creator?`,
    text: "They must be the same person. This cannot be undone.",
    action: "Merge",
    isDestructive: true,
  });
  if (!isSure) return;
  const answer = await call(`${path}/merge`, { method: "POST", body: { creator_id: other.creator_id } });
  await reload();
  recalculate(answer.run);
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if ("edit" in button.dataset) attempt(edit);
  else if ("delete" in button.dataset) attempt(remove);
  else if ("merge" in button.dataset) merge();
  else if (button.dataset.linkCreator) linkCreator(button.dataset.linkCreator, reload);
});
