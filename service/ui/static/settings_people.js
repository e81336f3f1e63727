// People: create sign-in links, and end sessions.

import { call, isSignedOut, messageOf } from "./api.js";
import { confirmed, toast } from "./dialog.js";
import { openFormDialog, secretView } from "./form_dialog.js";
import { localise } from "./format.js";

const path = "/api/admin/sessions";

localise(document);

document.querySelector("[data-open=new-link]").addEventListener("click", () => {
  const template = document.querySelector("[data-dialog=new-link]");
  const dialog = openFormDialog("Create sign-in link", template, {
    save: async (form) => {
      const given = new FormData(form);
      const { link, person } = await call("/api/admin/sign-in-links", {
        method: "POST",
        body: {
          person: given.get("person"),
          scope: given.get("scope"),
          hours: Number(given.get("hours")),
        },
      });
      const text = `Send this link to ${person}. It works once, and is not shown again.`;
      return secretView(text, link, () => dialog.close());
    },
  });
});

async function end(url, params, question) {
  if (!(await confirmed({ ...question, isDestructive: true }))) return;
  try {
    await call(url, { method: "DELETE", params });
    location.reload();
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    else toast(messageOf(problem));
  }
}

for (const button of document.querySelectorAll("[data-end]")) {
  const { end: id, who, own } = button.dataset;
  button.addEventListener("click", () =>
    end(`${path}/${id}`, {}, {
      title: `Sign ${who} out?`,
      text: own === undefined ? "This session ends at once." : "This is the session of this browser.",
      action: "Sign out",
    }),
  );
}
for (const button of document.querySelectorAll("[data-end-person]")) {
  const person = button.dataset.endPerson;
  button.addEventListener("click", () =>
    end(path, { person }, {
      title: `Sign ${person} out everywhere?`,
      text: "All sessions of this person end, and unused sign-in links stop working.",
      action: "Sign out everywhere",
    }),
  );
}
document.querySelector("[data-end-all]").addEventListener("click", () =>
  end(path, {}, {
    title: "Sign everybody out?",
    text: "All sessions end, also this one, and unused sign-in links stop working.",
    action: "Sign everybody out",
  }),
);
