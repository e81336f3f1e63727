// The pages about segments and customers, which the server renders: values in the reader's language,
// menus, charts, and lists that change without a reload.

import { enableCharts } from "./chart.js";
import { localise } from "./format.js";
import "./menu.js";
import { enableRegions } from "./regions.js";

/** Gets the page's lists and figures again: async () => void. */
export const refresh = enableRegions((part) => {
  localise(part);
  enableCharts(part);
});
