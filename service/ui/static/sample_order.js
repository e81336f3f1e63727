// One sample order, which the server renders, and the dialog that changes its creator.

import { linkCreator } from "./creator_dialog.js";
import { localise } from "./format.js";
import { enableRegions } from "./regions.js";

const reload = enableRegions(localise);

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-link-creator]");
  if (button) linkCreator(button.dataset.linkCreator, reload);
});
