// Formats numbers and times in the reader's language. Times are in the store's time zone.

const timeZone = document.documentElement.dataset.timeZone || "UTC";
const numbers = new Intl.NumberFormat();
const percents = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const moments = dateFormat({ dateStyle: "medium", timeStyle: "short" });
const times = dateFormat({ timeStyle: "short" });
const days = dateFormat({ dateStyle: "medium" });
const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });

// A browser may not know a time zone that the database knows. Then times are in UTC and say so.
function dateFormat(options) {
  try {
    return new Intl.DateTimeFormat(undefined, { ...options, timeZone });
  } catch {
    const { dateStyle, timeStyle } = options;
    const parts = {
      ...(dateStyle && { year: "numeric", month: "short", day: "numeric" }),
      ...(timeStyle && { hour: "numeric", minute: "2-digit", timeZoneName: "short" }),
    };
    return new Intl.DateTimeFormat(undefined, { ...parts, timeZone: "UTC" });
  }
}

export const number = (value) => numbers.format(value);
export const percent = (share) => percents.format(share);
export const day = (at) => days.format(new Date(at));

/** A calendar day such as "2026-12-31". It has no time zone. */
export const date = (on) => dates.format(new Date(on));

/** A moment: today as a time only, other days with the date. */
export function moment(at) {
  const date = new Date(at);
  const isToday = days.format(date) === days.format(new Date());
  return (isToday ? times : moments).format(date);
}

/** An amount of money. `amount` is a decimal string in major units. */
function money(amount, currency) {
  if (!currency) return number(amount);
  // Intl formats the string exactly. Converting it to a Number could lose digits.
  return new Intl.NumberFormat(undefined, { style: "currency", currency }).format(amount);
}

/** An amount of money without decimals, for large sums. */
function roundMoney(amount, currency) {
  if (!currency) return number(amount);
  return new Intl.NumberFormat(undefined, {
    style: "currency",
    currency,
    maximumFractionDigits: 0,
  }).format(amount);
}

/** A <time> element. */
export function timeElement(at, format = moment) {
  const element = document.createElement("time");
  element.dateTime = at;
  element.textContent = format(at);
  element.title = moments.format(new Date(at));
  return element;
}

/** Format the values that the server has written in the reader's language. */
export function localise(root) {
  const formats = {
    number: (item) => number(item.value),
    percent: (item) => percent(item.value),
    money: (item) => money(item.value, item.dataset.currency),
    sum: (item) => roundMoney(item.value, item.dataset.currency),
    moment: (item) => moment(item.dateTime),
    day: (item) => day(item.dateTime),
    // SVG text has no dateTime.
    date: (item) => date(item.dateTime ?? item.dataset.on),
  };
  for (const item of root.querySelectorAll("[data-format]")) {
    item.textContent = formats[item.dataset.format](item);
  }
}
