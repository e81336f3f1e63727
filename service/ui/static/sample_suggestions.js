// Orders that may be samples, and what to do about them. Each action can be undone.

import { call } from "./api.js";
import { toast } from "./dialog.js";
import { live } from "./live.js";
import { attempt, recalculation } from "./recalculate.js";
import { announceChange } from "./sample_settings.js";

const settings = "/api/admin/samples/settings";
const types = { ugc: "UGC", tiktok: "TikTok" };
const reload = live();
const recalculate = recalculation(reload);

// Show the list after a decision or its undo, and follow the build that applies it.
async function show(run) {
  recalculate(run);
  await reload();
}

async function decide({ order, name, decide: decision }) {
  const path = `/api/admin/samples/suggestions/${encodeURIComponent(order)}/decision`;
  const { run } = await call(path, { method: "PUT", body: { decision } });
  const text =
    decision === "dismissed" ? `${name} is dismissed.` : `${name} is a ${types[decision]} sample now.`;
  await show(run);
  toast(text, () => attempt(async () => show((await call(path, { method: "DELETE" })).run)));
}

async function addTag({ tag, type }) {
  const field = `${type}_tags`;
  const rules = await call(settings);
  const body = { [field]: [...rules[field], tag] };
  const { run } = await call(settings, { method: "PATCH", body });
  await show(run);
  if (run) await announceChange(`${tag} is one of the ${types[type]} tags now.`, show);
  else toast("This tag is there already.");
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-decide]");
  if (!button) return;
  attempt(() => (button.dataset.decide === "tag" ? addTag(button.dataset) : decide(button.dataset)));
});
