// One creator: figures, details, merge and delete.

import { call, isSignedOut, messageOf } from "./api.js";
import { creatorForm } from "./creator_form.js";
import { enableForms, make } from "./dom.js";
import { day, money, number, timeElement } from "./format.js";
import { follow } from "./runs.js";
import { creatorName } from "./sample_parts.js";

const box = document.querySelector("[data-creator]");
const path = `/api/admin/creators/${encodeURIComponent(box.dataset.creator)}`;
const status = document.querySelector("[data-status]");

function fact(label, value) {
  return make("div", {}, make("dt", {}, label), make("dd", {}, value ?? "–"));
}

function amount(value, currency) {
  return value === null ? null : money(value, currency);
}

function show(row) {
  document.querySelector("[data-title]").textContent = creatorName(row);
  box.replaceChildren(
    make(
      "dl",
      { class: "facts panel" },
      fact("Samples", number(row.samples)),
      fact("Sent", number(row.samples_sent)),
      fact("Goods value", amount(row.goods_value, row.currency)),
      fact("Last sent", row.last_sent_at && timeElement(row.last_sent_at, day)),
      fact("Purchases", number(row.own_orders)),
      fact("Spent", amount(row.own_orders_total, row.currency)),
      fact("Also known as", row.also_known_as.join(", ") || null),
    ),
    make(
      "p",
      {},
      make("a", { href: `/admin/samples?creator_id=${row.creator_id}` }, "View samples"),
      make("span", { class: "muted" }, " Cancelled samples are not counted."),
    ),
  );
  box.setAttribute("aria-busy", "false");
  document.querySelector("[data-editing]").hidden = false;
}

function fill(row) {
  for (const field of form.elements) if (field.name) field.value = row[field.name] ?? "";
}

function fail(problem) {
  if (isSignedOut(problem)) location.reload();
  else status.textContent = messageOf(problem);
}

async function load() {
  try {
    const row = await call(path);
    show(row);
    fill(row);
    const others = await call("/api/admin/creators", { params: { limit: 200 } });
    const options = others.data
      .filter((other) => other.creator_id !== row.creator_id)
      .map((other) => make("option", { value: other.creator_id }, creatorName(other)));
    document
      .querySelector("#other")
      .replaceChildren(make("option", { value: "" }, "Choose…"), ...options);
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    box.replaceChildren(
      make(
        "div",
        { class: "state bad", role: "alert" },
        make("h2", {}, problem.title),
        make("p", {}, problem.message),
        make("a", { class: "button", href: "/admin/samples/creators" }, "View all creators"),
      ),
    );
    box.setAttribute("aria-busy", "false");
  }
}

const form = creatorForm(async (fields) => {
  show(await call(path, { method: "PATCH", body: fields }));
  return "Saved.";
});
document.querySelector("[data-merge]").addEventListener("submit", (event) => {
  event.preventDefault();
  const body = { creator_id: document.querySelector("#other").value };
  follow(event.submitter, load, async () => {
    const answer = await call(`${path}/merge`, { method: "POST", body });
    event.target.reset();
    await load();
    return answer.run;
  });
});
document.querySelector("[data-delete]").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await call(path, { method: "DELETE" });
    location.assign("/admin/samples/creators");
  } catch (problem) {
    fail(problem);
  }
});
enableForms(document);
load();
