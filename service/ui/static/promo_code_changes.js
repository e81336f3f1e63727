// Who was added to a promo code and removed: a list that the server renders.

import { localise } from "./format.js";
import { enableRegions } from "./regions.js";

enableRegions(localise);
