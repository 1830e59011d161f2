/** Local time or UTC on this screen; a press on the clock changes it and the screen remembers. */

const KEY = "scot.utc";
let utc = (() => {
  try {
    return localStorage.getItem(KEY) === "1";
  } catch {
    return false;
  }
})();

export const usesUtc = () => utc;

/** @returns {boolean} what it is now */
export function toggleUtc() {
  utc = !utc;
  try {
    localStorage.setItem(KEY, utc ? "1" : "0");
  } catch {
    // A browser that stores nothing forgets it at the next start, no more.
  }
  return utc;
}
