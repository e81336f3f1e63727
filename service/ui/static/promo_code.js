// One promo code: edit, deactivate, activate, try again, delete. Follows it until it is up to date.

import { call, isSignedOut, messageOf } from "./api.js";
import { confirmed } from "./dialog.js";
import { localise } from "./format.js";
import "./menu.js";
import { openPromoCodeForm, pathOf } from "./promo_code_form.js";
import { enableRegions } from "./regions.js";

const POLL_MS = 2000;
const UNSETTLED = ["pending", "deleting"];

const head = document.querySelector("[data-code]");
const status = document.querySelector("[data-status]");
const customer = document.querySelector("#customer");
const { code } = head.dataset;
const list = "/admin/promo-codes";

enableRegions(localise);

async function attempt(work) {
  try {
    await work();
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    else status.textContent = messageOf(problem);
  }
}

function onClick(selector, work) {
  for (const button of document.querySelectorAll(selector)) {
    button.addEventListener("click", () => attempt(() => work(button)));
  }
}

onClick("[data-edit]", async () => openPromoCodeForm(await call(pathOf(code))));

onClick("[data-act]", async (button) => {
  await call(`${pathOf(code)}/${button.dataset.act}`, { method: "POST" });
  location.reload();
});

onClick("[data-deactivate]", async () => {
  const isSure = await confirmed({
    title: `Deactivate ${code}?`,
    text: "Customers cannot use it until you activate it again.",
    action: "Deactivate",
    isDestructive: true,
  });
  if (!isSure) return;
  await call(`${pathOf(code)}/deactivate`, { method: "POST" });
  location.reload();
});

onClick("[data-delete]", async () => {
  const isSure = await confirmed({
    title: `Delete ${code}?`,
    text: "It is deleted in Shopify, too, with its history here. This cannot be undone.",
    action: "Delete",
    isDestructive: true,
  });
  if (!isSure) return;
  const deleting = await call(pathOf(code), { method: "DELETE" });
  if (deleting) location.reload();
  else location.assign(list);
});

// What a reload would lose.
const isInUse = () =>
  document.querySelector("dialog[open]") || customer.value !== customer.defaultValue;

// Until Shopify has it, look again; show the page again once something has changed.
async function follow() {
  const { state } = head.querySelector("[data-state]").dataset;
  if (head.dataset.queued !== "true" && !UNSETTLED.includes(state)) return;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (document.hidden || isInUse()) continue;
    try {
      const now = await call(pathOf(code));
      const is = `${now.state} ${now.targets.in_shopify} ${now.is_queued}`;
      // Something may have been opened or typed during the call.
      if (is !== head.dataset.was && !isInUse()) location.reload();
    } catch (problem) {
      if (isSignedOut(problem)) location.reload();
      // Deleted in the meantime.
      if (problem.kind === "invalid-input" || problem.kind === "not-found") location.assign(list);
    }
  }
}

follow();
