// Sample orders: the list that the server renders, the actions on its rows, and the settings.

import { isSignedOut } from "./api.js";
import { linkCreator } from "./creator_dialog.js";
import { toast } from "./dialog.js";
import { address, make } from "./dom.js";
import { localise } from "./format.js";
import { live } from "./live.js";
import { follow } from "./runs.js";
import { openSettings } from "./sample_settings.js";

localise(document.querySelector(".page-head"));
const reload = live();
const settings = document.querySelector("[data-settings]");

let followed = Promise.resolve();

// One run after the other: an undo starts a second one.
function recalculate(run) {
  const finished = async () => {
    await reload();
    return "Recalculated. The samples below are up to date.";
  };
  followed = followed.then(() => follow(make("button"), finished, async () => run));
}

// An open dialog is part of the URL.
function showSettings() {
  history.replaceState(null, "", address({ settings: "open" }));
  openSettings({
    saved: (run, undo) => {
      recalculate(run);
      toast("Settings saved. Samples and RFM segments are recalculated.", async () => {
        try {
          recalculate((await undo()).run);
        } catch (problem) {
          if (isSignedOut(problem)) location.reload();
          else toast(problem.message);
        }
      });
    },
    closed: () => history.replaceState(null, "", address({ settings: null })),
  });
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-link-creator]");
  if (button) linkCreator(button.dataset.linkCreator, reload);
});
settings.addEventListener("click", (event) => {
  event.preventDefault();
  showSettings();
});
if (new URLSearchParams(location.search).get("settings") === "open") showSettings();
