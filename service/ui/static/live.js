// Lists that the server renders. With this script a filter, a tab or a page replaces the part
// [data-live] of the page instead of the whole page. The URL changes as without it.

import { make } from "./dom.js";
import { localise } from "./format.js";

let request = null;

/**
 * Follow the links and search forms of [data-live] that lead to this page.
 * @param shown  () => void: called when the part has been shown
 * @returns async () => void: shows the page of the current URL again
 */
export function live(shown = () => {}) {
  const part = () => document.querySelector("[data-live]");
  const ready = () => {
    localise(part());
    shown();
  };
  const load = async (url, { isNew = true } = {}) => {
    request?.abort();
    request = new AbortController();
    const { signal } = request;
    if (isNew) history.pushState(null, "", url);
    const before = focusOf(part());
    wait(part());
    let answer;
    try {
      answer = await fetch(url, { headers: { Accept: "text/html" }, credentials: "same-origin", signal });
    } catch (error) {
      if (error.name !== "AbortError") fail(part(), () => load(url, { isNew: false }));
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.querySelector("[data-live]");
    if (!next) {
      // Another page, such as the sign-in form.
      location.assign(url);
      return;
    }
    const typed = focusOf(part());
    part().replaceWith(document.importNode(next, true));
    ready();
    restore(part(), typed, before);
    announce(part());
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || !part().contains(link) || !isOwn(link) || isForNewTab(event)) return;
    event.preventDefault();
    load(link.href);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "get" || !part().contains(form)) return;
    event.preventDefault();
    load(addressOf(form));
  });
  // A choice applies at once. Text and dates wait for the button or the Enter key.
  document.addEventListener("change", ({ target }) => {
    if (target.matches("form[role=search] select") && part().contains(target)) {
      load(addressOf(target.form));
    }
  });
  window.addEventListener("popstate", () => load(location.href, { isNew: false }));
  ready();
  part().querySelector("[aria-invalid]")?.focus();
  return () => load(location.href, { isNew: false });
}

function isOwn(link) {
  return link.origin === location.origin && link.pathname === location.pathname && !link.download;
}

function isForNewTab(event) {
  return event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
}

function addressOf(form) {
  const url = new URL(form.action);
  for (const [name, value] of new FormData(form)) {
    if (value.trim()) url.searchParams.set(name, value.trim());
  }
  return url.href;
}

// The element that has the focus, so that it keeps it: by its id or data-key.
function focusOf(part) {
  const element = document.activeElement;
  if (!part.contains(element)) return null;
  return { id: element.id, key: element.dataset.key, value: element.value, name: element.name };
}

function restore(part, typed, before) {
  const wrong = part.querySelector("[aria-invalid]");
  const was = typed || before;
  const same =
    was &&
    ((was.id && document.getElementById(was.id)) ||
      (was.key && part.querySelector(`[data-key="${CSS.escape(was.key)}"]`)));
  // Nothing typed while the answer was on its way is lost.
  if (same && before && typed && typed.id === before.id && typed.value !== before.value) {
    same.value = typed.value;
  }
  (wrong || same || (was && part.querySelector("[data-count]")))?.focus();
}

function wait(part) {
  const list = part.querySelector("[data-list]");
  list.setAttribute("aria-busy", "true");
  document.querySelector("[data-announce]").textContent = "Loading";
}

function announce(part) {
  const alert = part.querySelector("[role=alert] h3, .state h3");
  const text = alert || part.querySelector("[data-count]");
  document.querySelector("[data-announce]").textContent = text?.textContent.trim() || "";
}

function fail(part, retry) {
  const list = part.querySelector("[data-list]");
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", retry);
  list.setAttribute("aria-busy", "false");
  list.replaceChildren(
    make(
      "div",
      { class: "state bad", role: "alert" },
      make("h3", {}, "No connection"),
      make("p", {}, "The service cannot be reached."),
      make("p", {}, "Check the connection and try again."),
      button,
    ),
  );
}
