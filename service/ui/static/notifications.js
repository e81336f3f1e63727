// The webhook for sync failures: set, test and remove it. The secret is shown once.

import { call, isSignedOut } from "./api.js";
import { enableForms, make } from "./dom.js";
import { showRefusal, showStatus } from "./forms.js";
import { timeElement } from "./format.js";

const path = "/api/admin/notifications";
const section = document.querySelector("[data-notifications]");
const part = (name) => section.querySelector(`[data-${name}]`);

const topics = {
  "klaviyo_sync.failed": "Sync failed",
  "klaviyo_sync.recovered": "Sync recovered",
  test: "Test",
};
const states = { pending: "Pending", delivered: "Delivered", failed: "Failed" };

async function show() {
  const { url, secret_last_four: end, set_at: at, data } = await call(path);
  part("hook").replaceChildren(
    ...(url ? [`Sending to ${url}, secret …${end}, set `, timeElement(at), "."] : ["No webhook set."]),
  );
  part("test-hook").hidden = !url;
  part("remove-hook").hidden = !url;
  part("hook-log").hidden = data.length === 0;
  part("hook-log")
    .querySelector("tbody")
    .replaceChildren(
      ...data.map((row) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, timeElement(row.created_at)),
          make("td", {}, `${topics[row.topic]}${row.list_name ? `: ${row.list_name}` : ""}`),
          make("td", {}, `${states[row.state]}${row.error ? `. ${row.error}` : ""}`),
        ),
      ),
    );
}

function hideSecret() {
  part("hook-secret").hidden = true;
  part("hook-secret-value").textContent = "";
}

async function runRequest(working, request) {
  const form = part("set-hook");
  const status = part("hook-status");
  showStatus(form, status, working);
  hideSecret();
  try {
    const done = await request();
    await show();
    status.textContent = done;
  } catch (problem) {
    showRefusal(form, status, problem, { url: "hook_url" });
  }
}

part("set-hook").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = section.querySelector("#hook_url");
  runRequest("Saving…", async () => {
    const { secret } = await call(path, { method: "POST", body: { url: input.value.trim() } });
    part("hook-secret-value").textContent = secret;
    part("hook-secret").hidden = false;
    input.value = "";
    return "Saved. Copy the secret now: it is not shown again.";
  });
});
enableForms(section);

part("test-hook").addEventListener("click", () =>
  runRequest("Sending…", async () => {
    const { state, error } = await call(`${path}/test`, { method: "POST" });
    return state === "delivered" ? "Test delivered." : `Test failed. ${error}`;
  }),
);

part("remove-hook").addEventListener("click", () =>
  runRequest("Removing…", async () => {
    await call(path, { method: "DELETE" });
    return "Webhook removed.";
  }),
);

show().catch((problem) => {
  if (isSignedOut(problem)) location.reload();
  else part("hook").textContent = problem.message;
});
