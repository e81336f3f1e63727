// The list of creators, which the server renders, and the dialog that adds one.

import { openCreator } from "./creator_form.js";
import { address } from "./dom.js";
import { localise } from "./format.js";
import { enableRegions } from "./regions.js";
import { creatorPage } from "./sample_parts.js";

enableRegions(localise);

// An open dialog is part of the URL.
function add() {
  history.replaceState(null, "", address({ add: "1" }));
  const dialog = openCreator(null, async (creator) => location.assign(creatorPage(creator.creator_id)));
  dialog.addEventListener("close", () => history.replaceState(null, "", address({ add: null })));
}

document.querySelector("[data-add]").addEventListener("click", (event) => {
  event.preventDefault();
  add();
});
if (new URLSearchParams(location.search).has("add")) add();
