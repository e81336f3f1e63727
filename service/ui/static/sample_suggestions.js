// Orders that may be samples, what to do about them, and what was done. Each action can be undone.

import { call } from "./api.js";
import { toast } from "./dialog.js";
import { localise } from "./format.js";
import { attempt, recalculation } from "./recalculate.js";
import { enableRegions } from "./regions.js";
import { announceChange } from "./sample_settings.js";

const settings = "/api/admin/samples/settings";
const types = { ugc: "UGC", tiktok: "TikTok" };
const reload = enableRegions(localise);
const recalculate = recalculation(reload);

// Show the list after a decision or its undo, and follow the build that applies it.
async function show(run) {
  recalculate(run);
  await reload();
}

const pathOf = (order) => `/api/admin/samples/suggestions/${encodeURIComponent(order)}/decision`;
const put = (order, decision) => call(pathOf(order), { method: "PUT", body: { decision } });
const withdraw = (order) => call(pathOf(order), { method: "DELETE" });

// Send a change, and offer to undo it.
async function change(send, undo, text) {
  await show((await send()).run);
  toast(text, () => attempt(async () => show((await undo()).run)));
}

const decide = ({ order, name, decide: decision }) =>
  change(
    () => put(order, decision),
    () => withdraw(order),
    decision === "dismissed" ? `${name} is dismissed.` : `${name} is a ${types[decision]} sample now.`,
  );

const undecide = ({ order, name, was }) =>
  change(
    () => withdraw(order),
    () => put(order, was),
    `The decision about ${name} is withdrawn.`,
  );

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
  const work = { tag: addTag, withdraw: undecide }[button.dataset.decide] || decide;
  attempt(() => work(button.dataset));
});
