// Dialogs over the page, and short messages with an undo. The browser keeps the focus inside an open
// dialog and returns it when the dialog closes.

import { make } from "./dom.js";

let count = 0;

/**
 * Open a dialog with a title. It is removed from the page when it closes.
 * @param title     heading
 * @param content   elements below it
 * @param hasChanges () => boolean: whether closing would lose something. Then the reader is asked.
 * @param question   () => what the reader is asked then, as for `confirmed`
 * @returns the <dialog>; `close()` closes it without a question
 */
export function openDialog(
  title,
  content,
  { hasChanges = () => false, question = () => DISCARD, kind = "" } = {},
) {
  count += 1;
  const id = `dialog-${count}`;
  const cross = make("button", { class: "quiet cross", type: "button", "aria-label": "Close" }, "✕");
  const dialog = make(
    "dialog",
    { class: `dialog ${kind}`.trim(), "aria-labelledby": id },
    make("div", { class: "dialog-head" }, make("h2", { id }, title), cross),
    make("div", { class: "dialog-body" }, ...content),
  );
  const closeUnlessUnsaved = async () => {
    if (!hasChanges() || (await confirmed(question()))) dialog.close();
  };
  cross.addEventListener("click", closeUnlessUnsaved);
  dialog.addEventListener("cancel", (event) => {
    // For example the back gesture of a phone.
    event.preventDefault();
    closeUnlessUnsaved();
  });
  // Browsers close a dialog at the second Escape, whatever its "cancel" event says.
  const escape = (event) => {
    const isTop = [...document.querySelectorAll("dialog[open]")].at(-1) === dialog;
    if (event.key !== "Escape" || event.isComposing || event.defaultPrevented || !isTop) return;
    event.preventDefault();
    closeUnlessUnsaved();
  };
  document.addEventListener("keydown", escape);
  dialog.addEventListener("close", () => {
    document.removeEventListener("keydown", escape);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

export const DISCARD = {
  title: "Discard your changes?",
  text: "They are not saved.",
  action: "Discard",
  isDestructive: true,
};

/**
 * Ask before something is done.
 * @returns a promise of whether the reader agreed
 */
export function confirmed({ title, text, action, isDestructive = false }) {
  const cancel = make("button", { type: "button", autofocus: isDestructive }, "Cancel");
  const confirm = make(
    "button",
    { type: "button", class: isDestructive ? "danger" : "primary", autofocus: !isDestructive },
    action,
  );
  const dialog = openDialog(
    title,
    [make("p", {}, text), make("div", { class: "dialog-actions" }, cancel, confirm)],
    { kind: "small" },
  );
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(false));
    cancel.addEventListener("click", () => dialog.close());
    confirm.addEventListener("click", () => {
      resolve(true);
      dialog.close();
    });
  });
}

const SECONDS_SHOWN = 10;

/**
 * Show a short message for ten seconds, or as long as the reader is at it.
 * @param undo  async () => void: what the message's button "Undo" does; optional
 */
export function toast(text, undo) {
  document.querySelector(".toast")?.remove();
  const message = make("div", { class: "toast", role: "status" }, make("span", {}, text));
  if (undo) {
    const button = make("button", { class: "quiet", type: "button" }, "Undo");
    button.addEventListener("click", async () => {
      button.disabled = true;
      await undo();
      message.remove();
      // The focus was on the button. The browser would leave it nowhere.
      if (document.activeElement === document.body) {
        document.querySelector("main").focus({ preventScroll: true });
      }
    });
    message.append(button);
  }
  document.body.append(message);
  const hide = () => {
    if (message.matches(":hover, :focus-within")) setTimeout(hide, 1000);
    else message.remove();
  };
  setTimeout(hide, SECONDS_SHOWN * 1000);
}
