// Making elements. Text always goes in as text, never as markup.

/** An element with attributes and children; a child may be text, an element, or nothing. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Enable the forms of a part of the page, now that a script listens to them.
 *
 * Until then their buttons are disabled in the page: the browser would send a form by itself, with
 * every field, a secret too, in the address. */
export function enableForms(part) {
  for (const button of part.querySelectorAll("[type=submit]:disabled")) button.disabled = false;
}

/** The address of this page with some parameters changed; null removes one. */
export function address(changes, fragment = "") {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  return `${url.pathname}${url.search}${fragment}`;
}
