// The home page: values in the reader's language, and the first calculation.

import { localise } from "./format.js";
import { followRuns } from "./runs.js";

localise(document);
followRuns(() => {
  location.reload();
  return "Done.";
});
