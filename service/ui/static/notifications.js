// Where syncs that fail are told: set, tried and removed; the secret is shown once.

import { call, isSignedOut } from "./api.js";
import { enableForms, make } from "./dom.js";
import { timeElement } from "./format.js";

const path = "/api/admin/notifications";
const section = document.querySelector("[data-notifications]");
const part = (name) => section.querySelector(`[data-${name}]`);

const topics = {
  "klaviyo_sync.failed": "Out of step",
  "klaviyo_sync.recovered": "In step again",
  test: "Test",
};
const states = { pending: "waits", delivered: "delivered", failed: "given up" };

async function show() {
  const { url, secret_last_four: end, set_at: at, data } = await call(path);
  part("hook").replaceChildren(
    ...(url ? [`Sent to ${url}, secret …${end}, set `, timeElement(at), "."] : ["Nobody is told."]),
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

async function work(said, request) {
  part("hook-told").textContent = said;
  hideSecret();
  try {
    const done = await request();
    await show();
    part("hook-told").textContent = done;
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    else part("hook-told").textContent = `${problem.message} ${problem.advice || ""}`.trim();
  }
}

part("set-hook").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = section.querySelector("#hook_url");
  work("Saving …", async () => {
    const { secret } = await call(path, { method: "POST", body: { url: input.value.trim() } });
    part("hook-secret-value").textContent = secret;
    part("hook-secret").hidden = false;
    input.value = "";
    return "Saved. Keep the secret: it is not shown again.";
  });
});
enableForms(section);

part("test-hook").addEventListener("click", () =>
  work("Sending …", async () => {
    const { state, error } = await call(`${path}/test`, { method: "POST" });
    return state === "delivered" ? "It arrived." : `It did not arrive. ${error}`;
  }),
);

part("remove-hook").addEventListener("click", () =>
  work("Removing …", async () => {
    await call(path, { method: "DELETE" });
    return "Removed. Nobody is told any more.";
  }),
);

show().catch((problem) => {
  if (isSignedOut(problem)) location.reload();
  else part("hook").textContent = problem.message;
});
