// Regions of a page whose links and forms work without loading the page again. The server renders
// them, so without this script they are ordinary links and forms.
//
// A region has `data-region` and an id. Its links and forms that change it have `data-swap`. The
// value names what has the focus afterwards; after the links of the pager, the region has it.

import { Problem } from "./api.js";
import { make } from "./dom.js";

const PAGER = ["first", "next"];
let request = null;

/**
 * Let links and forms with `data-swap` replace the regions of the page.
 * @param prepare  (element) => void: what the page and each new part of it need
 * @returns refresh, async () => void: gets the regions again, for example after a run
 */
export function enableRegions(prepare) {
  const status = make("p", { class: "visually-hidden", role: "status", "data-announce": true });
  document.querySelector("main").append(status);
  const show = (href, swap) => replace(href, swap, prepare, status);
  const submit = (form) => {
    const url = new URL(form.action);
    for (const [name, value] of new FormData(form)) {
      if (value.trim()) url.searchParams.set(name, value.trim());
    }
    navigate(url.href, () => show(url.href, ""));
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-swap]");
    const isPlain = !(event.metaKey || event.ctrlKey || event.shiftKey || event.button);
    if (!link || !isPlain) return;
    event.preventDefault();
    navigate(link.href, () => show(link.href, link.dataset.swap));
  });
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-swap]");
    if (!form) return;
    event.preventDefault();
    submit(form);
  });
  // A choice applies at once. Text and dates wait for the button or the Enter key.
  document.addEventListener("change", ({ target }) => {
    if (target.matches("form[data-swap] select")) submit(target.form);
  });
  window.addEventListener("popstate", () => show(location.href, ""));
  prepare(document);
  document.querySelector("[data-region] [aria-invalid]")?.focus();
  return () => show(location.href, "");
}

/** This page as the server renders it now, as a document. Rejects with a Problem. */
export async function pageNow() {
  const response = await fetch(location.href, { credentials: "same-origin" });
  if (response.status === 401) throw new Problem({ type: "sign-in-required" });
  if (!response.ok) throw new Problem({});
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

async function navigate(href, show) {
  // A URL with a fragment leads to its region also when the page is opened.
  if (await show()) history.pushState(null, "", href);
}

// Whether the regions were replaced. If the server refuses, the browser opens the URL and shows what
// is wrong.
async function replace(href, swap, prepare, status) {
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  const regions = [...document.querySelectorAll("[data-region]")];
  for (const region of regions) region.setAttribute("aria-busy", "true");
  const before = document.activeElement.value;
  let response;
  let text;
  try {
    response = await fetch(href, { credentials: "same-origin", signal });
    text = await response.text();
  } catch (problem) {
    if (problem.name !== "AbortError") {
      fail(href, regions, () => navigate(href, () => replace(href, swap, prepare, status)));
    }
    return false;
  }
  if (!response.ok) {
    location.assign(href);
    return false;
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const focused = document.activeElement;
  for (const region of regions) {
    const next = fresh.getElementById(region.id);
    if (!next) continue;
    region.replaceWith(document.adoptNode(next));
    prepare(next);
  }
  document.title = fresh.title;
  restoreFocus(focused, before, swap);
  announce(status);
  return true;
}

function restoreFocus(focused, before, swap) {
  const wrong = document.querySelector("[data-region] [aria-invalid]");
  if (document.contains(focused) && (focused !== document.body || !swap)) return;
  if (PAGER.includes(swap)) {
    const region = document.querySelector("[data-region]");
    region.focus({ preventScroll: true });
    region.scrollIntoView();
    return;
  }
  const place = focused?.id
    ? document.getElementById(focused.id)
    : swap && document.querySelector(`[data-swap="${CSS.escape(swap)}"]`);
  // Nothing typed while the answer was on its way is lost.
  if (place && place.tagName === "INPUT" && focused.value !== before) place.value = focused.value;
  (wrong || place || document.querySelector("[data-region]"))?.focus({ preventScroll: true });
}

// Screen readers would read an unchanged text again. They read an alert by themselves.
function announce(status) {
  const count = document.querySelector("[data-region] [data-count]")?.textContent.trim();
  const text = count || document.querySelector("[data-region] .state h3")?.textContent.trim() || "";
  if (status.textContent !== text) status.textContent = text;
}

function fail(href, regions, retry) {
  const list = document.querySelector("[data-region] [data-list]");
  if (!list) {
    location.assign(href);
    return;
  }
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", retry);
  for (const region of regions) region.setAttribute("aria-busy", "false");
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
