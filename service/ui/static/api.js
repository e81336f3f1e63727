// Client for the JSON API, used by signed-in pages.

// What people read of problems whose own words are for programs: title, message, advice.
const WORDS = {
  "bad-cursor": ["This page is gone", "The list has no such page any more.", ""],
  "bad-request": ["Something went wrong", "The page sent something wrong.", "Reload the page."],
  "database-unavailable": ["Not available", "The database does not respond.", "Try again soon."],
  "method-not-allowed": ["Something went wrong", "The page is out of date.", "Reload the page."],
  "missing-scope": [
    "Not allowed",
    "Your sign-in does not allow this.",
    "Ask for a sign-in link with more rights.",
  ],
  "not-built": [
    "Not calculated yet",
    "Nothing has been calculated yet.",
    "Sync or import orders, then recalculate under Segments.",
  ],
  "overloaded": ["Busy", "Many people use the service right now.", "Try again in a moment."],
  "query-timeout": ["This took too long", "The figures could not be read in time.", "Try again."],
  "request-refused": ["Not accepted", "This page has another address than the service.", "Reload the page."],
  "request-timeout": ["Not received", "What you sent did not arrive in time.", "Try again."],
  "too-large": ["Too large", "This is more than can be saved at once.", "Save less."],
  "unsupported-media-type": ["Something went wrong", "The page is out of date.", "Reload the page."],
};
const TITLES = { "internal-error": "Something went wrong", "invalid-input": "Check your input" };

/** An error answer of the API: a problem document (RFC 9457). */
export class Problem extends Error {
  constructor(body) {
    const kind = (body.type || "").split("/").pop();
    const [title, message, advice] = WORDS[kind] || [TITLES[kind], body.detail, body.advice];
    super(message || "The service is not available.");
    this.kind = kind;
    this.title = title || body.title || "Something went wrong";
    this.advice = message ? advice || "" : "Try again soon.";
    this.errors = body.errors || [];
  }
}

/** Call the API. Resolves to the parsed answer, rejects with a Problem. */
export async function call(path, { method = "GET", params = {}, body, signal } = {}) {
  const query = new URLSearchParams(params).toString();
  const headers = { Accept: "application/json", "X-Quintile-Request": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  // Another tab may have signed in to another store since this page was opened.
  const { tenant } = document.documentElement.dataset;
  if (tenant) headers["X-Quintile-Tenant"] = tenant;
  let response;
  try {
    response = await fetch(query ? `${path}?${query}` : path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "No connection",
      detail: "The service cannot be reached.",
      advice: "Check the connection and try again.",
    });
  }
  if (!response.ok) throw new Problem(await readProblem(response));
  return response.status === 204 ? null : response.json();
}

/** All rows of a list of the API, page by page. */
export async function callAll(path) {
  const rows = [];
  let cursor = null;
  do {
    const page = await call(path, { params: cursor ? { limit: 200, cursor } : { limit: 200 } });
    rows.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor);
  return rows;
}

/** Whether the session has ended. Reloading then shows the sign-in form, which leads back here. */
export function isSignedOut(problem) {
  return problem instanceof Problem && problem.kind === "sign-in-required";
}

/** The message and advice of a problem as one text. */
export function messageOf(problem) {
  return [problem.message, problem.advice].filter(Boolean).join(" ");
}

async function readProblem(response) {
  try {
    return await response.json();
  } catch {
    // A proxy may answer with a page that is not JSON.
    return {};
  }
}
