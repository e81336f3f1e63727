// Regions of a page whose links and forms work without loading the page again. The server renders
// them, so without this script they are ordinary links and forms.
//
// A region has `data-region` and an id. Its links and forms that change it have `data-swap`. The
// value names what has the focus afterwards; after the links of the pager, the region has it.

const PAGER = ["first", "next"];
let request = null;

/**
 * Let links and forms with `data-swap` replace the regions of the page.
 * @param prepare  (element) => void: what a new part of the page needs
 * @returns refresh, async () => void: gets the regions again, for example after a run
 */
export function enableRegions(prepare) {
  const status = document.createElement("p");
  status.className = "visually-hidden";
  status.setAttribute("role", "status");
  document.querySelector("main").append(status);
  const show = (href, swap) => replace(href, swap, prepare, status);

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
    const url = new URL(form.action);
    for (const [name, value] of new FormData(form)) {
      if (value.trim()) url.searchParams.set(name, value.trim());
    }
    navigate(url.href, () => show(url.href, ""));
  });
  window.addEventListener("popstate", () => show(location.href, ""));
  return () => show(location.href, "");
}

async function navigate(href, show) {
  // A URL with a fragment leads to its region also when the page is opened.
  if (await show()) history.pushState(null, "", href);
}

// Whether the regions were replaced. If the server refuses or cannot be reached, the browser opens
// the URL and shows what is wrong.
async function replace(href, swap, prepare, status) {
  request?.abort();
  request = new AbortController();
  const regions = [...document.querySelectorAll("[data-region]")];
  for (const region of regions) region.setAttribute("aria-busy", "true");
  let fresh;
  try {
    const response = await fetch(href, { credentials: "same-origin", signal: request.signal });
    if (!response.ok) throw new Error(response.statusText);
    fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch (problem) {
    if (problem.name !== "AbortError") location.assign(href);
    return false;
  }
  const focused = document.activeElement;
  for (const region of regions) {
    const next = fresh.getElementById(region.id);
    if (!next) continue;
    region.replaceWith(document.adoptNode(next));
    prepare(next);
  }
  document.title = fresh.title;
  restoreFocus(focused, swap);
  status.textContent = document.querySelector("[data-region] [data-count]")?.textContent.trim() || "";
  return true;
}

function restoreFocus(focused, swap) {
  if (document.contains(focused) && focused !== document.body) return;
  if (PAGER.includes(swap)) {
    const region = document.querySelector("[data-region]");
    region.focus({ preventScroll: true });
    region.scrollIntoView();
    return;
  }
  const place = focused?.id
    ? document.getElementById(focused.id)
    : swap && document.querySelector(`[data-swap="${CSS.escape(swap)}"]`);
  (place || document.querySelector("[data-region]"))?.focus({ preventScroll: true });
}
