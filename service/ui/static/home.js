// The home page: values in the reader's language, and the first sync and calculation.

import { localise } from "./format.js";
import { followRuns } from "./runs.js";

localise(document);
for (const button of document.querySelectorAll("[data-start-run]")) {
  followRuns(() => {
    location.reload();
    return "Done.";
  }, button);
}
