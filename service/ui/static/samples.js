// Sample orders: the list that the server renders, the actions on its rows, and the settings.

import { linkCreator } from "./creator_dialog.js";
import { address } from "./dom.js";
import { localise } from "./format.js";
import { recalculation } from "./recalculate.js";
import { enableRegions } from "./regions.js";
import { announceChange, openSettings } from "./sample_settings.js";

const reload = enableRegions(localise);
const recalculate = recalculation(reload);

// An open dialog is part of the URL.
function showSettings() {
  history.replaceState(null, "", address({ settings: "open" }));
  openSettings({
    saved: (run) => {
      recalculate(run);
      announceChange("Settings saved. Samples and RFM segments are recalculated.", recalculate);
    },
    closed: () => history.replaceState(null, "", address({ settings: null })),
  });
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-link-creator]");
  if (button) linkCreator(button.dataset.linkCreator, reload);
});
document.querySelector("[data-settings]").addEventListener("click", (event) => {
  event.preventDefault();
  showSettings();
});
if (new URLSearchParams(location.search).get("settings") === "open") showSettings();
