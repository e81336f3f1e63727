// The audit log: times in the reader's language.

import { localise } from "./format.js";

localise(document);
