// The dialog that links a creator to a sample: search, or create one.

import { call, isSignedOut, messageOf } from "./api.js";
import { combobox } from "./combobox.js";
import { creatorForm, isChanged } from "./creator_form.js";
import { openDialog, toast } from "./dialog.js";
import { make } from "./dom.js";
import { showSignedOut } from "./forms.js";
import { attempt } from "./recalculate.js";
import { creatorName, platforms } from "./sample_parts.js";

const LIMIT = 8;
const pathOf = (orderId) => `/api/admin/samples/${encodeURIComponent(orderId)}`;

/**
 * Open the dialog for a sample.
 * @param changed  async () => void: called after the sample's creator has changed
 */
export async function linkCreator(orderId, changed) {
  try {
    openFor(await call(pathOf(orderId)), changed);
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    else toast(messageOf(problem));
  }
}

function openFor(order, changed) {
  const path = `${pathOf(order.order_id)}/creator`;
  const name = order.order_number || order.order_id;
  const status = make("p", { role: "status" });
  const body = make("div");
  const dialog = openDialog(`Creator of ${name}`, [body], {
    kind: "small",
    hasChanges: () => {
      const form = body.querySelector("form");
      return Boolean(form) && isChanged(form);
    },
  });
  const apply = async (request, message) => {
    await call(path, request);
    dialog.close();
    await changed();
    toast(message, () =>
      attempt(async () => {
        await call(path, requestFor(order));
        await changed();
      }),
    );
  };
  const fail = (problem) => {
    if (isSignedOut(problem)) showSignedOut(status);
    else status.textContent = messageOf(problem);
    status.classList.add("field-error");
  };
  const link = (creatorId, label) =>
    apply({ method: "POST", body: { creator_id: creatorId } }, `${label} is linked to ${name}.`);

  const chooser = () => {
    const field = combobox({
      label: "Find a creator",
      placeholder: "Handle, name or e-mail",
      search: (text, signal) => find(text, signal),
      chosen: ({ value, text }) => {
        if (value) link(value.creator_id, creatorName(value)).catch(fail);
        else create(text);
      },
      failed: fail,
    });
    const actions = make("div", { class: "dialog-actions" });
    if (order.creator_id) {
      const button = make("button", { type: "button" }, "Set no creator");
      button.addEventListener("click", () =>
        apply({ method: "DELETE" }, `${name} has no creator now.`).catch(fail),
      );
      actions.append(button);
    }
    if (["manual", "unlinked"].includes(order.creator_link)) {
      const button = make("button", { type: "button" }, "Match automatically");
      button.addEventListener("click", () =>
        apply({ method: "POST", body: { automatic: true } }, `${name} is matched automatically.`).catch(fail),
      );
      actions.append(button);
    }
    status.textContent = "";
    body.replaceChildren(now(order), field, status, ...(actions.hasChildNodes() ? [actions] : []));
    field.querySelector("input").focus();
  };

  let typed = "";
  const find = async (text, signal) => {
    typed = text;
    const params = { limit: LIMIT, ...(text && { q: text }) };
    const { data } = await call("/api/admin/creators", { params, signal });
    const known = data.map((creator) => ({
      value: creator,
      text: creatorName(creator),
      note: [creator.handle && creator.name, platforms[creator.platform]].filter(Boolean).join(" · "),
    }));
    const label = text ? `Create “${text}”` : "Create a creator";
    return [...known, { value: null, text: label }];
  };

  const create = () => {
    // Stays when only the link failed, so that the next attempt does not create a second one.
    let creator = null;
    const form = creatorForm({
      values: suggested(order, typed),
      action: "Create and link",
      save: async (fields) => {
        creator = creator
          ? await call(`/api/admin/creators/${creator.creator_id}`, { method: "PATCH", body: fields })
          : await call("/api/admin/creators", { method: "POST", body: fields });
        await link(creator.creator_id, creatorName(creator));
      },
      back: ["Back", chooser],
    });
    body.replaceChildren(form);
    form.querySelector("input").focus();
  };
  chooser();
}

function now(order) {
  const customer = [order.customer_name, order.customer_email].filter(Boolean).join(", ");
  const creator = order.creator_handle ? `@${order.creator_handle}` : order.creator_name;
  return make(
    "p",
    { class: "muted" },
    `${customer || "Guest"}. ${creator ? `Linked to ${creator} now.` : "No creator is linked."}`,
  );
}

// What the sample's creator was before: automatic, no creator, or one that a person chose.
function requestFor(order) {
  if (order.creator_link === "unlinked") return { method: "DELETE" };
  if (order.creator_link === "manual") {
    return { method: "POST", body: { creator_id: order.creator_id } };
  }
  return { method: "POST", body: { automatic: true } };
}

// What was searched for is a handle, a name or an address. The rest is the customer's.
function suggested(order, text) {
  const isEmail = /^[^@\s]+@[^@\s]+$/.test(text);
  const isHandle = Boolean(text) && !isEmail && !/\s/.test(text);
  return {
    handle: isHandle ? text : "",
    platform: order.types.includes("tiktok") ? "tiktok" : "instagram",
    name: text && !isEmail && !isHandle ? text : order.customer_name || "",
    email: isEmail ? text : order.customer_email || "",
  };
}
