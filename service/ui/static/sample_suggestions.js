// Orders that may be samples, and what to do about them. Each action can be undone.

import { call } from "./api.js";
import { toast } from "./dialog.js";
import { live } from "./live.js";
import { attempt, recalculation } from "./recalculate.js";
import { undoOf } from "./sample_settings.js";

const settings = "/api/admin/samples/settings";
const types = { ugc: "UGC", tiktok: "TikTok" };
const reload = live();
const recalculate = recalculation(reload);

// Show what was done, with its undo: async () => the build that applies it.
async function done(run, text, undo) {
  recalculate(run);
  await reload();
  toast(text, () =>
    attempt(async () => {
      recalculate((await undo()).run);
      await reload();
    }),
  );
}

async function decide({ order, name, decide: decision }) {
  const path = `/api/admin/samples/suggestions/${encodeURIComponent(order)}/decision`;
  const { run } = await call(path, { method: "PUT", body: { decision } });
  const text =
    decision === "dismissed" ? `${name} is dismissed.` : `${name} is a ${types[decision]} sample now.`;
  await done(run, text, () => call(path, { method: "DELETE" }));
}

async function addTag({ tag, type }) {
  const field = `${type}_tags`;
  const rules = await call(settings);
  const body = { [field]: [...rules[field], tag] };
  const { run } = await call(settings, { method: "PATCH", body });
  await done(run, `${tag} is one of the ${types[type]} tags now.`, await undoOf());
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-decide]");
  if (!button) return;
  attempt(() => (button.dataset.decide === "tag" ? addTag(button.dataset) : decide(button.dataset)));
});
