// The dialog with the sample rules: edit them, see what they match and change, save and restore.

import { call, isSignedOut, messageOf } from "./api.js";
import { chips } from "./chips.js";
import { openDialog, toast } from "./dialog.js";
import { make } from "./dom.js";
import { rejected, showRefusal, showStatus } from "./forms.js";
import { day, moment, number, timeElement } from "./format.js";
import { attempt } from "./recalculate.js";
import { orderPage, typeBadges } from "./sample_parts.js";

const path = "/api/admin/samples/settings";
const MATCH_MS = 200;
const PREVIEW_MS = 600;
const labels = {
  ugc_tags: "UGC tags",
  tiktok_tags: "TikTok tags",
  channel_patterns: "Channel patterns",
  zero_price_only: "TikTok samples must be free",
  ugc_zero_price_only: "UGC samples must be free",
};
const lists = ["ugc_tags", "tiktok_tags", "channel_patterns"];
const conditions = ["zero_price_only", "ugc_zero_price_only"];

/**
 * Open the dialog.
 * @param saved  (run) => void: called after a change, with the build that applies it
 * @param closed () => void
 */
export async function openSettings({ saved, closed }) {
  try {
    show(await call(path), { saved, closed });
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    else toast(messageOf(problem));
    closed();
  }
}

function show(settings, { saved, closed }) {
  const fields = {
    ugc_tags: chips({ id: "ugc_tags", label: labels.ugc_tags, help: "ugc-help", noun: "tag", separators: ",", changed: () => update() }),
    tiktok_tags: chips({ id: "tiktok_tags", label: labels.tiktok_tags, help: "tiktok-help", noun: "tag", separators: ",", changed: () => update() }),
    channel_patterns: chips({ id: "channel_patterns", label: labels.channel_patterns, help: "patterns-help", noun: "pattern", changed: () => update() }),
  };
  const toggles = Object.fromEntries(
    conditions.map((name) => [name, make("input", { id: name, type: "checkbox", role: "switch", "aria-describedby": `${name}-help` })]),
  );
  const confirm = make("input", { id: "confirm_broad", type: "checkbox" });
  const confirmLabel = make("label", { class: "check", hidden: true }, confirm, "Allow a pattern that matches every channel");
  const channels = make("div", { class: "channels" });
  const preview = make("div", { class: "preview", "aria-live": "polite" });
  const status = make("p", { role: "status" });
  const cancel = make("button", { type: "button" }, "Cancel");
  const save = make("button", { type: "submit", class: "primary" }, "Save");
  const history = previousSettings((request) => finish(request));
  const form = make(
    "form",
    { class: "settings-form", novalidate: true },
    make(
      "div",
      { class: "settings-cards" },
      card(
        fields.ugc_tags.element,
        help("ugc-help", "An order with one of these tags is a UGC sample. Upper and lower case make no difference."),
        toggle(toggles.ugc_zero_price_only, "UGC samples must be free", "Off: a tag counts at any price."),
      ),
      card(
        fields.tiktok_tags.element,
        help("tiktok-help", "An order with one of these tags is a TikTok sample."),
        toggle(
          toggles.zero_price_only,
          "TikTok samples must be free",
          "Free: the goods cost nothing, or an order with a tag was refunded in full. Shipping does not count. Applies to channels too.",
        ),
      ),
      card(
        fields.channel_patterns.element,
        help(
          "patterns-help",
          "Orders of a channel that matches are TikTok samples. ",
          make("code", {}, "%"),
          " stands for any text, ",
          make("code", {}, "_"),
          " for one character: ",
          make("code", {}, "tiktok%"),
          " matches every channel that starts with tiktok.",
        ),
        channels,
        confirmLabel,
      ),
      card(make("h3", {}, "What changes"), preview),
    ),
    history,
    make("div", { class: "dialog-foot" }, status, cancel, save),
  );

  const read = () => ({
    ...Object.fromEntries(lists.map((name) => [name, fields[name].values()])),
    ...Object.fromEntries(conditions.map((name) => [name, toggles[name].checked])),
  });
  for (const name of lists) fields[name].set(settings[name]);
  for (const name of conditions) toggles[name].checked = settings[name];
  const before = JSON.stringify(read());
  const hasChanges = () =>
    JSON.stringify(read()) !== before || lists.some((name) => fields[name].draft());

  const match = latest(MATCH_MS, async (signal) => {
    const draft = fields.channel_patterns.draft();
    const patterns = [...fields.channel_patterns.values(), ...(draft ? [draft] : [])];
    const answer = await call(`${path}/channels`, {
      method: "POST",
      body: { channel_patterns: patterns },
      signal,
    });
    showChannels(channels, answer.data);
  });
  const compare = latest(PREVIEW_MS, async (signal) => {
    if (JSON.stringify(read()) === before) {
      preview.replaceChildren(make("p", { class: "muted" }, "Nothing yet. Your changes are previewed here before you save them."));
      return;
    }
    preview.setAttribute("aria-busy", "true");
    const answer = await call(`${path}/preview`, { method: "POST", body: read(), signal });
    showPreview(preview, answer);
  });
  const fail = (box) => (problem) => {
    if (problem.name === "AbortError") return;
    box.removeAttribute("aria-busy");
    const [reason] = Object.values(rejected(problem));
    box.replaceChildren(make("p", { class: "field-error" }, reason || messageOf(problem)));
  };
  // A pattern of wildcards only matches every channel and needs to be confirmed.
  const update = () => {
    confirmLabel.hidden = !fields.channel_patterns.values().some((text) => /^[%_]+$/.test(text));
    if (confirmLabel.hidden) confirm.checked = false;
    showStatus(form, status, "");
    match(fail(channels));
    compare(fail(preview));
  };

  const dialog = openDialog("Sample settings", [form], { hasChanges });
  dialog.classList.add("settings-dialog");
  dialog.addEventListener("close", closed);
  let isSaving = false;
  const finish = async (request) => {
    if (isSaving) return;
    isSaving = true;
    showStatus(form, status, "Saving…");
    try {
      const { run } = await request();
      dialog.close();
      if (run) saved(run);
      else toast("Nothing has changed.");
    } catch (problem) {
      showRefusal(form, status, problem);
    } finally {
      isSaving = false;
    }
  };
  cancel.addEventListener("click", () => dialog.querySelector(".cross").click());
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    finish(() => call(path, { method: "PATCH", body: { ...read(), confirm_broad: confirm.checked } }));
  });
  fields.ugc_tags.element.querySelector("input").focus();
  update();
}

/**
 * Say that the settings were changed, with an undo of that change.
 * @param undone  (run) => void: called after the undo, with the build that applies it
 */
export async function announceChange(text, undone) {
  let change;
  try {
    const { data } = await call(`${path}/history`, { params: { limit: 1 } });
    change = { change_id: data[0].change_id };
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    toast(`${text} It cannot be undone here: ${messageOf(problem)}`);
    return;
  }
  toast(text, () =>
    attempt(async () => {
      const { run } = await call(`${path}/undo`, { method: "POST", body: change });
      await undone(run);
    }),
  );
}

// Runs the last of several calls, once none has followed for a while.
function latest(wait, work) {
  let timer = null;
  let request = null;
  return (failed) => {
    clearTimeout(timer);
    request?.abort();
    timer = setTimeout(() => {
      request = new AbortController();
      work(request.signal).catch(failed);
    }, wait);
  };
}

function card(...content) {
  return make("section", { class: "settings-card" }, ...content);
}

function help(id, ...content) {
  return make("p", { class: "muted", id }, ...content);
}

function toggle(input, label, text) {
  return make(
    "div",
    { class: "toggle" },
    make("label", { for: input.id }, input, label),
    make("p", { class: "muted", id: `${input.id}-help` }, text),
  );
}

function showChannels(box, channels) {
  if (channels.length === 0) {
    box.replaceChildren(make("p", { class: "muted" }, "Your store has no channels yet."));
    return;
  }
  const matched = channels.filter((row) => row.matched_patterns.length > 0).length;
  box.replaceChildren(
    make("p", { role: "status" }, `${number(matched)} of ${number(channels.length)} channels match`),
    make(
      "ul",
      { tabindex: "0", "aria-label": "Channels of your store" },
      ...channels.map(({ channel, matched_patterns: patterns }) => {
        const isMatch = patterns.length > 0;
        return make(
          "li",
          { class: isMatch ? "match" : undefined },
          make("span", { "aria-hidden": "true" }, isMatch ? "✓" : "–"),
          make("span", { class: "clip", title: channel }, channel),
          make("span", { class: "muted clip" }, isMatch ? `matches ${patterns.join(", ")}` : "no match"),
        );
      }),
    ),
  );
}

function showPreview(box, answer) {
  const { current_count: current, proposed_count: proposed } = answer;
  box.removeAttribute("aria-busy");
  box.replaceChildren(
    make("p", {}, `${number(current)} samples now, ${number(proposed)} with these settings.`),
    examples("Entering", "+", answer.entering_count, answer.entering, plainName),
    examples("Leaving", "−", answer.leaving_count, answer.leaving, linkedName),
  );
}

const nameOf = (order) => order.order_number || order.order_id;
const linkedName = (order) =>
  make("a", { href: orderPage(order.order_id), target: "_blank" }, nameOf(order));
// An order that is no sample yet has no page.
const plainName = (order) => make("span", {}, nameOf(order));

function examples(title, sign, count, orders, name) {
  const head = make("h4", {}, `${title}: ${count === 0 ? "" : sign}${number(count)}`);
  const line = (order) =>
    make(
      "li",
      {},
      name(order),
      make("span", { class: "clip" }, order.customer_name || "Guest"),
      typeBadges(order),
      timeElement(order.ordered_at, day),
    );
  const rest = count - orders.length;
  return make(
    "div",
    {},
    head,
    orders.length > 0 ? make("ul", { class: "preview-orders", tabindex: "0", "aria-label": title }, ...orders.map(line)) : null,
    rest > 0 ? make("p", { class: "muted" }, `and ${number(rest)} more`) : null,
  );
}

// The former settings, read when they are opened. `restore` gets the request that restores one.
function previousSettings(restore) {
  const box = make("div", {}, make("p", { class: "muted" }, "Loading…"));
  const details = make("details", { class: "history" }, make("summary", {}, "Previous settings"), box);
  const fact = (change, name) => {
    const value = conditions.includes(name) ? (change[name] ? "Yes" : "No") : change[name].join(", ");
    return make("div", {}, make("dt", {}, labels[name]), make("dd", {}, value || "None"));
  };
  const former = (change) => {
    const button = make("button", { type: "button" }, "Restore");
    button.addEventListener("click", () =>
      restore(() => call(`${path}/undo`, { method: "POST", body: { change_id: change.change_id } })),
    );
    return make(
      "div",
      { class: "settings-card" },
      make(
        "p",
        {},
        "In use until ",
        timeElement(change.changed_at, moment),
        make("span", { class: "muted" }, `, changed by ${change.changed_by}`),
      ),
      make("dl", { class: "facts" }, ...[...lists, ...conditions].map((name) => fact(change, name))),
      button,
    );
  };
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      const { data } = await call(`${path}/history`, { params: { limit: 20 } });
      const none = make("p", { class: "muted" }, "No changes so far.");
      box.replaceChildren(...(data.length > 0 ? data.map(former) : [none]));
    } catch (problem) {
      box.replaceChildren(make("p", { class: "field-error" }, messageOf(problem)));
    }
  });
  return details;
}
