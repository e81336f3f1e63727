// A field for several values, each a chip that can be removed. Enter or a separator adds what was
// typed, pasted text adds all its values, Backspace in the empty field removes the last chip. The
// arrow keys lead to the chips, where Delete and Backspace remove one.

import { make } from "./dom.js";

const keyOf = (value) => value.normalize("NFC").trim().toLowerCase();

/**
 * @param options.id         id of the text field, whose errors are shown in `${id}-error`
 * @param options.label      label of the field
 * @param options.help       id of the element that explains the field
 * @param options.noun       what a value is called: "tag", "pattern"
 * @param options.separators characters that end a value; a line break always does
 * @param options.changed    () => void: called after values or the typed text have changed
 * @returns { element, values(), set(values), draft() }
 */
export function chips({ id, label, help, noun, separators = "", changed }) {
  let values = [];
  const items = make("ul", { "aria-label": label });
  const input = make("input", {
    id,
    type: "text",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    "aria-describedby": `${help} ${id}-error`,
    placeholder: `Add a ${noun}`,
  });
  const status = make("span", { class: "visually-hidden", role: "status" });
  const error = make("p", { class: "field-error", id: `${id}-error`, hidden: true });
  const box = make("div", { class: "chips" }, items, input);
  const ends = new RegExp(`[${separators}\n\r]+`);

  const clearError = () => {
    input.removeAttribute("aria-invalid");
    error.hidden = true;
  };
  const draw = () => {
    items.replaceChildren(
      ...values.map((value, position) => {
        const cross = make("button", { type: "button", "aria-label": `Remove ${noun} ${value}` }, "✕");
        cross.addEventListener("click", () => remove(position));
        cross.addEventListener("keydown", (event) => move(event, position));
        return make("li", {}, make("span", { class: "clip", title: value }, value), cross);
      }),
    );
    items.hidden = values.length === 0;
  };
  // `text` may have several values. Those that are there already are not added again.
  const add = (text) => {
    const added = [];
    const known = new Set(values.map(keyOf));
    for (const value of text.split(ends).map((part) => part.trim())) {
      if (!value || known.has(keyOf(value))) continue;
      known.add(keyOf(value));
      added.push(value);
    }
    input.value = "";
    if (added.length > 0) {
      values = [...values, ...added];
      clearError();
      draw();
    }
    status.textContent =
      added.length > 0 ? `Added ${added.join(", ")}` : `Nothing added: this ${noun} is there already`;
    changed();
  };
  const remove = (position) => {
    const [removed] = values.splice(position, 1);
    clearError();
    draw();
    status.textContent = `Removed ${removed}`;
    const crosses = items.querySelectorAll("button");
    (crosses[Math.min(position, crosses.length - 1)] || input).focus();
    changed();
  };
  const move = (event, position) => {
    const crosses = items.querySelectorAll("button");
    if (event.key === "Delete" || event.key === "Backspace") remove(position);
    else if (event.key === "ArrowLeft") crosses[Math.max(position - 1, 0)].focus();
    else if (event.key === "ArrowRight") (crosses[position + 1] || input).focus();
    else return;
    event.preventDefault();
  };

  input.addEventListener("keydown", (event) => {
    const isAtStart = input.selectionStart === 0 && input.selectionEnd === 0;
    if (event.key === "Enter" || separators.includes(event.key)) {
      // Enter must not submit the form while a value is typed.
      if (event.key !== "Enter" || input.value.trim()) event.preventDefault();
      if (input.value.trim()) add(input.value);
    } else if (event.key === "Backspace" && input.value === "" && values.length > 0) {
      event.preventDefault();
      remove(values.length - 1);
      input.focus();
    } else if (event.key === "ArrowLeft" && isAtStart && values.length > 0) {
      event.preventDefault();
      items.querySelector("li:last-child button").focus();
    }
  });
  input.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text");
    if (!ends.test(text)) return;
    event.preventDefault();
    add(`${input.value}${text}`);
  });
  input.addEventListener("input", () => {
    clearError();
    changed();
  });
  // What was typed and not added counts too.
  input.addEventListener("blur", () => {
    if (input.value.trim()) add(input.value);
  });
  box.addEventListener("click", ({ target }) => {
    if (target === box || target === items) input.focus();
  });
  draw();
  return {
    element: make(
      "div",
      { class: "chips-field" },
      make("label", { for: id }, label),
      box,
      error,
      status,
    ),
    values: () => [...values],
    draft: () => input.value.trim(),
    set: (given) => {
      values = [...given];
      input.value = "";
      draw();
    },
  };
}
