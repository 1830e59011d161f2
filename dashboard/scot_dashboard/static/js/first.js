/** What comes first: on a slow line, whatever is large waits until numbers are on the screen, or a second. @import {View} from "./types.js" */

const SOON_MS = 1_000;

let there = false;
/** @type {(() => void)[]} */
const waiting = [];

/** @param {() => void} call once numbers are there, at once when they are */
export function afterNumbers(call) {
  if (there) return call();
  if (!waiting.length) setTimeout(begin, SOON_MS);
  waiting.push(call);
}

/** A view was drawn. @param {View} view */
export function drew({ cells }) {
  if (there) return;
  if (Object.values(cells).some((cell) => !cell.stale && typeof cell.value?.value === "number")) begin();
}

function begin() {
  there = true;
  for (const call of waiting.splice(0)) call();
}
