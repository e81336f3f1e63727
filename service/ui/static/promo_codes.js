// The list of promo codes. The parameter "segment" opens the form with this segment.

import { address } from "./dom.js";
import { localise } from "./format.js";
import { openPromoCodeForm } from "./promo_code_form.js";
import { enableRegions } from "./regions.js";

enableRegions(localise);

const create = document.querySelector("[data-create]");
if (create) {
  create.addEventListener("click", () => openPromoCodeForm(null));
  const { segment } = create.dataset;
  if (segment) {
    openPromoCodeForm(null, segment);
    // A reload shows the list.
    history.replaceState(null, "", address({ segment: null }));
  }
}
