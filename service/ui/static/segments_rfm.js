// The RFM tab: its button recalculates, and the figures follow.

import { followRuns } from "./runs.js";
import { refresh } from "./segments.js";

followRuns(async () => {
  await refresh();
});
