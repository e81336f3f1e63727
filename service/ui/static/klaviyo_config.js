// One synced list: status, preview, profiles, history and settings.

import { call, isSignedOut, messageOf } from "./api.js";
import { enableForms } from "./dom.js";
import { showRefusal, showStatus, signedOut } from "./forms.js";
import { localise } from "./format.js";
import {
  configPath,
  enableLists,
  followSync,
  planElement,
  resumeFollowing,
  sync,
} from "./klaviyo_parts.js";
import { enableRegions } from "./regions.js";

const id = document.querySelector("[data-config]").dataset.config;
const path = configPath(id);
const status = document.querySelector("main > [data-status]");
const refresh = enableRegions((part) => {
  localise(part);
  enableForms(part);
});
enableLists(refresh);

function fail(problem) {
  if (isSignedOut(problem)) status.replaceChildren(...signedOut());
  else status.textContent = messageOf(problem);
}

// -- preview and sync ---------------------------------------------------------------------------

const preview = document.querySelector("[data-preview]");
const syncNow = document.querySelector("[data-sync]");
const plan = document.querySelector("[data-plan]");

preview.addEventListener("click", () => {
  let run = null;
  followSync(
    preview,
    async () => {
      run = await sync([id], { dry_run: true });
      return run;
    },
    async () => {
      if (run) await showPlan(run.run_id);
    },
  );
});

async function showPlan(runId) {
  try {
    plan.replaceChildren(...planElement(await call(`${path}/runs/${encodeURIComponent(runId)}`)));
    plan.hidden = false;
  } catch (problem) {
    fail(problem);
  }
}

syncNow.addEventListener("click", () => followSync(syncNow, () => sync([id]), refresh, [id]));
// Enabled only now that the handlers are attached.
preview.disabled = syncNow.disabled = false;

// -- profiles and history ----------------------------------------------------------------------

async function restore(button) {
  const email = button.dataset.restore;
  button.disabled = true;
  try {
    await call(`${path}/rows/undo`, { method: "POST", body: { email } });
    await refresh();
    status.textContent = `The next sync adds ${email} to the list again.`;
  } catch (problem) {
    button.disabled = false;
    fail(problem);
  }
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.restore) restore(button);
  if (button?.dataset.planOf) {
    await showPlan(button.dataset.planOf);
    plan.scrollIntoView({ block: "nearest" });
  }
});

// -- settings -----------------------------------------------------------------------------------

async function save(form, body) {
  showStatus(form, status, "Saving…");
  try {
    await call(path, { method: "PATCH", body });
    status.textContent = "Saved.";
    await refresh();
  } catch (problem) {
    showRefusal(form, status, problem);
  }
}

document.querySelector("[data-change]")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const body = {};
  for (const name of ["is_scheduled", "sends_events", "fires_flows_on_first_sync"]) {
    const box = document.querySelector(`#${name}`);
    if (box) body[name] = box.checked;
  }
  const direction = document.querySelector("#direction");
  if (direction) body.direction = direction.value;
  save(event.target, body);
});

document.querySelector("[data-delete]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await call(path, { method: "DELETE" });
    location.assign("/admin/klaviyo");
  } catch (problem) {
    fail(problem);
  }
});
resumeFollowing(syncNow, refresh, [id]);
