// A list that the JSON API fills. Which rows it shows is in the page's address; this reads it
// there, and shows one of five states: loading, rows, empty, nothing found, or an error.

import { call, isSignedOut } from "./api.js";
import { address, make } from "./dom.js";

const PAGE_SIZE = 50;
const SKELETON_ROWS = 6;

/**
 * @param options.path      the API's list
 * @param options.filters   parameters of the page's address that the API takes as they are
 * @param options.caption   what the table holds, for those who hear it
 * @param options.columns   [{ label, kind, cell(row) }]; kind "num" or undefined
 * @param options.detail    { label, about(row), cell(row) }: what a button in each row unfolds
 * @param options.empty     () => element, when there is nothing at all
 * @param options.fragment  where on the page the list is, for its links
 * @param options.loaded    (answer) => void
 */
export function list(options) {
  const box = document.querySelector("[data-list]");
  const load = async () => {
    box.setAttribute("aria-busy", "true");
    box.replaceChildren(skeleton(options));
    try {
      const answer = await call(options.path, { params: parameters(options.filters) });
      show(box, options, answer);
    } catch (problem) {
      if (isSignedOut(problem)) location.reload();
      else box.replaceChildren(failure(problem, options, load));
    }
    box.setAttribute("aria-busy", "false");
  };
  return load;
}

function parameters(filters) {
  const given = new URLSearchParams(location.search);
  const wanted = { limit: PAGE_SIZE };
  for (const name of [...filters, "cursor"]) {
    const value = given.get(name)?.trim();
    if (value) wanted[name] = value;
  }
  return wanted;
}

function isFiltered(filters) {
  const given = parameters(filters);
  return filters.some((name) => given[name]) || Boolean(given.cursor);
}

function show(box, options, answer) {
  if (answer.data.length > 0) box.replaceChildren(table(options, answer.data));
  else if (isFiltered(options.filters)) box.replaceChildren(nothingFound(options));
  else box.replaceChildren(options.empty());
  showPager(options, answer.next_cursor);
  options.loaded?.(answer);
}

function table(options, rows) {
  const head = options.columns.map(({ label, kind }) =>
    make("th", { scope: "col", class: kind }, label),
  );
  if (options.detail) {
    head.push(make("td", {}, make("span", { class: "visually-hidden" }, options.detail.label)));
  }
  const body = rows.map((row, number) =>
    make(
      "tr",
      {},
      ...options.columns.map(({ label, kind, cell }, index) =>
        index === 0
          ? make("th", { scope: "row" }, cell(row))
          : make("td", { class: kind, "data-label": label }, cell(row)),
      ),
      options.detail ? make("td", { class: "num" }, unfolding(options, row, number)) : null,
    ),
  );
  return make(
    "div",
    { class: "panel" },
    make(
      "table",
      { class: "rows" },
      make("caption", { class: "visually-hidden" }, options.caption),
      make("thead", {}, make("tr", {}, ...head)),
      make("tbody", {}, ...body),
    ),
  );
}

// The row that a button unfolds is made when it is first asked for.
function unfolding({ detail, columns }, row, number) {
  const id = `detail-${number}`;
  const button = make(
    "button",
    { class: "quiet", type: "button", "aria-expanded": "false" },
    detail.label,
    make("span", { class: "visually-hidden" }, ` ${detail.about(row)}`),
  );
  button.addEventListener("click", () => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    let unfolded = document.getElementById(id);
    if (!unfolded) {
      const cell = make("td", { colspan: columns.length + 1 }, detail.cell(row));
      unfolded = make("tr", { class: "detail", id }, cell);
      button.closest("tr").after(unfolded);
      button.setAttribute("aria-controls", id);
    }
    unfolded.hidden = isOpen;
    button.setAttribute("aria-expanded", String(!isOpen));
  });
  return button;
}

function skeleton({ columns }) {
  const line = () =>
    make(
      "div",
      { class: "skeleton-row" },
      ...columns.map(() => make("span", { class: "skeleton", "aria-hidden": "true" })),
    );
  return make(
    "div",
    { class: "panel" },
    make("p", { class: "visually-hidden" }, "Loading"),
    ...Array.from({ length: SKELETON_ROWS }, line),
  );
}

function nothingFound({ filters, fragment }) {
  const cleared = Object.fromEntries([...filters, "cursor"].map((name) => [name, null]));
  return make(
    "div",
    { class: "state" },
    make("h3", {}, "Nothing matches"),
    make("p", {}, "No row fits this search and these filters."),
    make("a", { class: "button", href: address(cleared, fragment) }, "Clear filters"),
  );
}

// What happened, what to do about it, and the way out.
function failure(problem, options, retry) {
  return make(
    "div",
    { class: "state bad", role: "alert" },
    make("h3", {}, problem.title || "That did not work"),
    make("p", {}, problem.message),
    problem.advice ? make("p", {}, problem.advice) : null,
    wayOut(problem, options, retry),
  );
}

function wayOut(problem, { fragment }, retry) {
  if (problem.kind === "bad-cursor") {
    const href = address({ cursor: null }, fragment);
    return make("a", { class: "button", href }, "First page");
  }
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", retry);
  return button;
}

function showPager({ fragment }, nextCursor) {
  const pager = document.querySelector("[data-pager]");
  const isFirst = !new URLSearchParams(location.search).get("cursor");
  pager.hidden = isFirst && !nextCursor;
  const first = pager.querySelector("[data-first-page]");
  const next = pager.querySelector("[data-next-page]");
  first.hidden = isFirst;
  first.href = address({ cursor: null }, fragment);
  next.hidden = !nextCursor;
  next.href = address({ cursor: nextCursor }, fragment);
  pager.querySelector("[data-page-note]").textContent = nextCursor ? "" : "Last page";
}
