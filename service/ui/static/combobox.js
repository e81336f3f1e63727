// A text field that searches as one types: the pattern "editable combobox with list autocomplete" of
// the ARIA Authoring Practices Guide. The arrow keys move within the list, Enter chooses, Escape
// closes the list.

import { make } from "./dom.js";

const WAIT_MS = 150;
let count = 0;

/**
 * @param options.label   label of the field
 * @param options.placeholder what it searches
 * @param options.search  async (text, signal) => [{ value, text, note }]: what fits the text
 * @param options.chosen  (option) => void
 * @param options.failed  (problem) => void
 * @returns the field with its label and list
 */
export function combobox({ label, search, chosen, failed, placeholder = "" }) {
  count += 1;
  const id = `combobox-${count}`;
  const input = make("input", {
    id,
    type: "text",
    role: "combobox",
    maxlength: "200",
    autocomplete: "off",
    spellcheck: "false",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": `${id}-list`,
    placeholder,
  });
  const options = make("ul", { id: `${id}-list`, role: "listbox", "aria-label": label, hidden: true });
  const found = make("p", { class: "visually-hidden", role: "status" });
  let shown = [];
  let active = -1;
  let timer = null;
  let request = null;

  const stop = () => {
    clearTimeout(timer);
    request?.abort();
  };
  const close = () => {
    stop();
    options.hidden = true;
    input.setAttribute("aria-expanded", "false");
    move(-1);
  };
  const move = (position) => {
    active = position;
    [...options.children].forEach((option, index) => {
      option.setAttribute("aria-selected", String(index === active));
    });
    if (active < 0) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    input.setAttribute("aria-activedescendant", options.children[active].id);
    options.children[active].scrollIntoView({ block: "nearest" });
  };
  const choose = (option) => {
    close();
    chosen(option);
  };
  const show = (rows) => {
    shown = rows;
    options.replaceChildren(
      ...rows.map((row, index) => {
        const option = make(
          "li",
          { id: `${id}-${index}`, role: "option", "aria-selected": "false" },
          make("span", { class: "clip" }, row.text),
          row.note ? make("span", { class: "clip muted" }, row.note) : null,
        );
        // The field keeps the focus. Losing it would close the list before the click.
        option.addEventListener("mousedown", (event) => event.preventDefault());
        option.addEventListener("click", () => choose(row));
        return option;
      }),
    );
    options.hidden = rows.length === 0;
    input.setAttribute("aria-expanded", String(rows.length > 0));
    move(rows.length > 0 ? 0 : -1);
    found.textContent = rows.length === 1 ? "1 choice" : `${rows.length} choices`;
  };
  const find = async () => {
    stop();
    request = new AbortController();
    const { signal } = request;
    try {
      const rows = await search(input.value.trim(), signal);
      if (!signal.aborted) show(rows);
    } catch (problem) {
      if (problem.name !== "AbortError") failed(problem);
    }
  };

  input.addEventListener("input", () => {
    stop();
    // What is shown fits the text before: Enter must not choose it.
    move(-1);
    timer = setTimeout(find, WAIT_MS);
  });
  input.addEventListener("focus", find);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const last = shown.length - 1;
    if (event.key === "ArrowDown" && options.hidden) find();
    else if (event.key === "ArrowDown") move(active === last ? 0 : active + 1);
    else if (event.key === "ArrowUp" && !options.hidden) move(active <= 0 ? last : active - 1);
    else if (event.key === "Enter" && active >= 0) choose(shown[active]);
    else if (event.key === "Escape" && !options.hidden) close();
    else return;
    event.preventDefault();
    // Escape would also close the dialog around the field.
    event.stopPropagation();
  });
  return make(
    "div",
    { class: "combobox" },
    make("label", { for: id }, label),
    input,
    // Keeps its height, so that nothing moves away under the pointer when the list closes.
    make("div", { class: "combobox-list" }, options),
    found,
  );
}
