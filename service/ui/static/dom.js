// Helpers that create elements. Text is always inserted as text, never as markup.

/** Create an element with attributes and children. A child may be text, an element or null. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Enable the forms of a part of the page once a script handles them.
 *
 * Their buttons are disabled in the HTML. Otherwise the browser could submit a form without the
 * script and put every field, including secrets, into the URL. */
export function enableForms(part) {
  for (const button of part.querySelectorAll("[type=submit]:disabled")) button.disabled = false;
}

/** The URL of this page with some parameters changed. null removes a parameter. */
export function address(changes) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  return `${url.pathname}${url.search}`;
}
