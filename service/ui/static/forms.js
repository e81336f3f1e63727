// Shows at the fields of a form what the API has rejected.

import { isSignedOut, messageOf } from "./api.js";
import { make } from "./dom.js";

export const NOT_SAVED = "Not saved. Fix the marked fields.";

/** The rejected fields of a problem: what is wrong, by the API's name of the field. */
export function rejected(problem) {
  const errors = {};
  for (const { pointer = "", parameter, detail } of problem.errors || []) {
    const [name, entry] = parameter ? [parameter] : pointer.replace(/^#\/?/, "").split("/");
    if (!name) continue;
    const place = entry === undefined ? "" : `Entry ${Number(entry) + 1}: `;
    const advice = problem.errors.length === 1 && problem.advice ? ` ${problem.advice}` : "";
    errors[name] = [errors[name], `${place}${detail}${advice}`].filter(Boolean).join(" ");
  }
  return errors;
}

/** The visible field of a form that has this id or name. */
function fieldOf(form, name) {
  const quoted = CSS.escape(name);
  const field = form.querySelector(`#${quoted}, [name="${quoted}"]`);
  return !field || field.type === "hidden" || field.closest("[hidden]") ? null : field;
}

// The element for a field's message. It stands behind the field, or behind the label around it.
function messageElement(field) {
  const id = `${field.id}-error`;
  const known = document.getElementById(id);
  if (known) return known;
  const message = document.createElement("p");
  message.id = id;
  message.className = "field-error";
  (field.closest("label") || field).after(message);
  const described = field.getAttribute("aria-describedby");
  field.setAttribute("aria-describedby", [described, id].filter(Boolean).join(" "));
  return message;
}

/**
 * Mark fields as invalid, each with its message, and focus the first one.
 * `ids` names the fields whose id is not the API's name.
 * @returns the messages for which the form has no field
 */
export function markFields(form, errors, ids = {}) {
  const others = [];
  const marked = [];
  for (const [name, text] of Object.entries(errors)) {
    const field = fieldOf(form, ids[name] || name);
    if (!field) {
      others.push(text);
      continue;
    }
    const details = field.closest("details");
    if (details) details.open = true;
    field.setAttribute("aria-invalid", "true");
    const message = messageElement(field);
    message.textContent = text;
    message.hidden = false;
    marked.push(field);
  }
  marked[0]?.focus();
  return others;
}

/** Remove the marks of a form's fields. */
export function clearFields(form) {
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    const message = document.getElementById(`${field.id}-error`);
    if (message) message.hidden = true;
  }
}

/** What a status says when the session has ended: the page stays as it is. */
export const signedOut = () => [
  "Your session has ended. ",
  make("a", { href: "/admin/sign-in", target: "_blank", rel: "noopener" }, "Sign in in a new tab"),
  ", then try again here.",
];

/** Say that the session has ended. What was typed stays, and can be saved after signing in. */
export function showSignedOut(status) {
  status.replaceChildren(...signedOut());
  status.classList.add("field-error");
}

/** Show why a form was not accepted: at its fields, or as its status if no field is to blame. */
export function showRefusal(form, status, problem, ids = {}) {
  if (isSignedOut(problem)) {
    showSignedOut(status);
    return;
  }
  const errors = rejected(problem);
  const others = markFields(form, errors, ids);
  const isMarked = Object.keys(errors).length > others.length;
  status.textContent = isMarked
    ? [NOT_SAVED, ...others].join(" ")
    : messageOf(problem);
  status.classList.add("field-error");
}

/** Show the progress or success of a form, without the marks of an earlier refusal. */
export function showStatus(form, status, text) {
  clearFields(form);
  status.textContent = text;
  status.classList.remove("field-error");
}
