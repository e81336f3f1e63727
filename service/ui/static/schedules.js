// Schedules: pause and resume them. The server draws their rows, also after a change.

import { call, isSignedOut, messageOf } from "./api.js";
import { localise } from "./format.js";
import { pageNow } from "./regions.js";

const table = document.querySelector("table.schedules");
const status = document.querySelector("[data-status]");

async function change(button) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  status.textContent = "";
  const row = button.closest("tr");
  const isPaused = button.dataset.pause === "true";
  try {
    const { name, label } = await call(
      `/api/admin/schedules/${encodeURIComponent(row.dataset.schedule)}`,
      { method: "PATCH", body: { is_paused: isPaused } },
    );
    const done = `${label}: ${isPaused ? "paused" : "resumed"}.`;
    const changed = await drawn(name).catch(() => null);
    if (!changed) {
      status.textContent = `${done} Reload the page to see it.`;
      button.ariaDisabled = null;
      return;
    }
    row.replaceWith(changed);
    changed.querySelector("button").focus();
    status.textContent = done;
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    status.textContent = messageOf(problem);
    button.ariaDisabled = null;
  }
}

// The row as the server draws it now.
async function drawn(name) {
  const page = await pageNow();
  const row = document.importNode(page.querySelector(`[data-schedule="${CSS.escape(name)}"]`), true);
  localise(row);
  return row;
}

localise(table);
table.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-pause]");
  if (button) change(button);
});
