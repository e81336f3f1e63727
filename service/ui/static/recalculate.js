// Shows the builds that apply changes of samples, one after the other, and reads the page again.

import { isSignedOut, messageOf } from "./api.js";
import { toast } from "./dialog.js";
import { make } from "./dom.js";
import { follow } from "./runs.js";

/**
 * @param reload  async () => void: reads the page again
 * @returns (run) => void: follows a build; null is none
 */
export function recalculation(reload) {
  let followed = Promise.resolve();
  const finished = async () => {
    await reload();
    return "Recalculated. The samples below are up to date.";
  };
  return (run) => {
    if (run) followed = followed.then(() => follow(make("button"), finished, async () => run));
  };
}

/** Do something. If it fails, a message says why. */
export async function attempt(work) {
  try {
    await work();
  } catch (problem) {
    if (isSignedOut(problem)) location.reload();
    else toast(messageOf(problem));
  }
}
