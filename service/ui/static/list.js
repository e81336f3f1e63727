// A list filled from the JSON API. Filters and cursor are read from the page's URL. The list shows
// one of five states: loading, rows, empty, nothing found, or an error.

import { call, isSignedOut } from "./api.js";
import { address, make } from "./dom.js";
import { clearFields, labelOf, markFields, rejected } from "./forms.js";
import { number } from "./format.js";

const PAGE_SIZE = 50;
const SKELETON_ROWS = 6;

/**
 * @param options.path      URL of the API's list
 * @param options.filters   URL parameters that are passed on to the API
 * @param options.caption   caption of the table, for screen readers
 * @param options.columns   [{ label, kind, cell(row) }]; kind "num" or undefined
 * @param options.empty     (answer) => element, shown when the unfiltered list is empty
 * @param options.loaded    (answer) => void
 */
export function list(options) {
  const box = document.querySelector("[data-list]");
  const search = document.querySelector("form[role=search]");
  // Announces how many rows there are. The rows themselves would be read out one by one.
  const count = make("p", { class: "visually-hidden", role: "status" });
  box.before(count);
  const load = async () => {
    box.setAttribute("aria-busy", "true");
    box.replaceChildren(skeleton(options));
    if (search) clearFields(search);
    try {
      const answer = await call(options.path, { params: parameters(options.filters) });
      show(box, options, answer);
      count.textContent = amount(answer);
    } catch (problem) {
      if (isSignedOut(problem)) location.reload();
      else if (problem.kind === "invalid-input") box.replaceChildren(refusal(problem, options, search));
      else box.replaceChildren(failure(problem, load));
    }
    box.setAttribute("aria-busy", "false");
  };
  return load;
}

function parameters(filters) {
  const params = new URLSearchParams(location.search);
  const wanted = { limit: PAGE_SIZE };
  for (const name of [...filters, "cursor"]) {
    const value = params.get(name)?.trim();
    if (value) wanted[name] = value;
  }
  return wanted;
}

function isFiltered(filters) {
  const params = parameters(filters);
  return filters.some((name) => params[name]) || Boolean(params.cursor);
}

function show(box, options, answer) {
  if (answer.data.length > 0) box.replaceChildren(table(options, answer.data));
  else if (isFiltered(options.filters)) box.replaceChildren(nothingFound(options));
  else box.replaceChildren(options.empty(answer));
  showPager(answer.next_cursor);
  options.loaded?.(answer);
}

/** "50 of 1,234 rows", or "50 rows" where the API counts none. */
function amount({ data, total }) {
  const count = total ?? data.length;
  const words = `${number(count)} ${count === 1 ? "row" : "rows"}`;
  return data.length < count ? `${number(data.length)} of ${words}` : words;
}

function table(options, rows) {
  const head = options.columns.map(({ label, kind }) => make("th", { scope: "col", class: kind }, label));
  const body = rows.map((row) =>
    make(
      "tr",
      {},
      ...options.columns.map(({ label, kind, cell }, index) =>
        index === 0
          ? make("th", { scope: "row" }, cell(row))
          : make("td", { class: kind, "data-label": label }, cell(row)),
      ),
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

function nothingFound(options) {
  return make(
    "div",
    { class: "state" },
    make("h3", {}, "Nothing matches"),
    make("p", {}, "Try another search or clear the filters."),
    clearFilters(options),
  );
}

function clearFilters({ filters }) {
  const cleared = Object.fromEntries([...filters, "cursor"].map((name) => [name, null]));
  return make("a", { class: "button", href: address(cleared) }, "Clear filters");
}

// A filter that is not valid is marked, and named here too: it may have no field on the page.
function refusal(problem, options, search) {
  const errors = rejected(problem);
  const reasons = Object.entries(errors).map(([name, text]) =>
    make("p", {}, `${labelOf(search, name) || name}: ${text}`),
  );
  if (search) markFields(search, errors);
  return make(
    "div",
    { class: "state bad", role: "alert" },
    make("h3", {}, "Check the filters"),
    ...(reasons.length > 0 ? reasons : [make("p", {}, problem.message)]),
    clearFilters(options),
  );
}

// What went wrong, what to do about it, and a control to continue.
function failure(problem, retry) {
  return make(
    "div",
    { class: "state bad", role: "alert" },
    make("h3", {}, problem.title),
    make("p", {}, problem.message),
    problem.advice ? make("p", {}, problem.advice) : null,
    retryControl(problem, retry),
  );
}

function retryControl(problem, retry) {
  if (problem.kind === "bad-cursor") {
    const href = address({ cursor: null });
    return make("a", { class: "button", href }, "First page");
  }
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", retry);
  return button;
}

function showPager(nextCursor) {
  const pager = document.querySelector("[data-pager]");
  const isFirst = !new URLSearchParams(location.search).get("cursor");
  pager.hidden = isFirst && !nextCursor;
  const first = pager.querySelector("[data-first-page]");
  const next = pager.querySelector("[data-next-page]");
  first.hidden = isFirst;
  first.href = address({ cursor: null });
  next.hidden = !nextCursor;
  next.href = address({ cursor: nextCursor });
  pager.querySelector("[data-page-note]").textContent = nextCursor ? "" : "Last page";
}
