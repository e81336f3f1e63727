// Client for the JSON API, used by signed-in pages.

/** An error answer of the API: a problem document (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service answered ${status}.`);
    this.status = status;
    this.title = body.title || "Something went wrong";
    this.advice = body.advice || "";
    this.errors = body.errors || [];
    this.kind = (body.type || "").split("/").pop();
  }
}

/** Call the API. Resolves to the parsed answer, rejects with a Problem. */
export async function call(path, { method = "GET", params = {}, body, signal } = {}) {
  const query = new URLSearchParams(params).toString();
  const headers = { Accept: "application/json", "X-Quintile-Request": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
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
    throw new Problem(0, {
      title: "No connection",
      detail: "The service cannot be reached.",
      advice: "Check the connection and try again.",
    });
  }
  if (!response.ok) throw new Problem(response.status, await readProblem(response));
  return response.status === 204 ? null : response.json();
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
