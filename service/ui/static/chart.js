// The values of a day in a chart over time: under the pointer, and on the arrow keys.

import { make } from "./dom.js";
import { date, number } from "./format.js";

const TOP = 16;

/** Enable the charts of a part of the page. */
export function enableCharts(part) {
  for (const plot of part.querySelectorAll("[data-plot]")) enable(plot);
}

function enable(plot) {
  const chart = JSON.parse(plot.querySelector("script").textContent);
  const last = chart.days.length - 1;
  const picture = plot.querySelector("svg");
  const cursor = make("div", { class: "plot-cursor", hidden: true });
  const box = make("div", { class: "plot-values", hidden: true, "aria-hidden": "true" });
  plot.append(cursor, box);
  plot.setAttribute("role", "slider");
  plot.setAttribute("tabindex", "0");
  plot.setAttribute("aria-label", picture.getAttribute("aria-label").split(";")[0]);
  plot.setAttribute("aria-valuemin", "0");
  plot.setAttribute("aria-valuemax", `${last}`);

  let current = last;
  const describe = (index) => {
    const values = chart.lines.map(({ label, sizes }) => [
      label,
      sizes[index] === null ? "–" : number(sizes[index]),
    ]);
    plot.setAttribute("aria-valuenow", `${index}`);
    plot.setAttribute(
      "aria-valuetext",
      [date(chart.days[index]), ...values.map((pair) => pair.join(" "))].join(", "),
    );
    return values;
  };
  const show = (index) => {
    current = index;
    const values = describe(index);
    const across = chart.across[index];
    cursor.style.left = `${100 * across}%`;
    cursor.style.top = `${TOP}px`;
    cursor.style.height = `${chart.height}px`;
    box.replaceChildren(
      make("p", { class: "strong" }, date(chart.days[index])),
      make(
        "dl",
        {},
        ...values.flatMap(([label, value]) => [make("dt", {}, label), make("dd", {}, value)]),
      ),
    );
    // On the side of the line that has more space.
    box.style.left = across < 0.5 ? `calc(${100 * across}% + 10px)` : "auto";
    box.style.right = across < 0.5 ? "auto" : `calc(${100 * (1 - across)}% + 10px)`;
    cursor.hidden = false;
    box.hidden = false;
  };
  const hide = () => {
    cursor.hidden = true;
    box.hidden = true;
  };
  describe(current);

  plot.addEventListener("pointermove", ({ clientX }) => {
    const { left, width } = picture.getBoundingClientRect();
    show(nearest(chart.across, (clientX - left) / width));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("focus", () => show(current));
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -7, PageUp: 7 };
    const ends = { Home: 0, End: last };
    if (event.key === "Escape") hide();
    const target = event.key in ends ? ends[event.key] : current + (moves[event.key] || NaN);
    if (Number.isNaN(target)) return;
    event.preventDefault();
    show(Math.max(0, Math.min(last, target)));
  });
}

function nearest(places, wanted) {
  const away = places.map((place) => Math.abs(place - wanted));
  return away.indexOf(Math.min(...away));
}
