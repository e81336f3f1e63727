// Converts between moments and the values of <input type="datetime-local"> in the store's time zone.

const zone = document.documentElement.dataset.timeZone || "UTC";

function formatter() {
  const options = {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  };
  try {
    return new Intl.DateTimeFormat("en-US", { ...options, timeZone: zone });
  } catch {
    return new Intl.DateTimeFormat("en-US", { ...options, timeZone: "UTC" });
  }
}

/** A moment as the value of a field: "2026-12-01T09:00". */
export function toField(at) {
  if (!at) return "";
  const parts = Object.fromEntries(
    formatter().formatToParts(new Date(at)).map(({ type, value }) => [type, value]),
  );
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
}

/** The value of a field as a moment in UTC; null if it is empty. */
export function toMoment(value) {
  if (!value) return null;
  const wall = Date.parse(`${value}Z`);
  // The offset near the moment, and once more in case the clock changes in between.
  let at = wall;
  for (let times = 0; times < 2; times += 1) {
    at = wall - (Date.parse(`${toField(at)}Z`) - at);
  }
  return new Date(at).toISOString();
}
