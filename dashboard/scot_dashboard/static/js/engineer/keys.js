/** The keys of the engineer's page, on one sheet. */

import { h, setHidden } from "../dom.js";
import { word } from "../text.js";

/** @type {[string, string][]} key, what it does */
const KEYS = [
  ["␣", "play"], ["r", "reverse"], ["+  -", "rate"], ["← →  PgUp PgDn", "moveBy"], ["Home", "toStart"],
  [",", "pictureBack"], [".", "pictureOn"], ["<", "sampleBack"], [">", "sampleOn"],
  ["[", "setA"], ["]", "setB"], ["l", "loop"], ["z", "zoomOut"], ["Z", "zoomIn"], ["o", "alarmLog"], ["b  n", "keyAlarms"], ["c", "completeness"], ["?", "keys"], ["Esc", "close"],
];

/** @param {() => void} tour @returns {{element: HTMLElement, open: () => boolean, toggle: () => void}} */
export function keySheet(tour) {
  const guide = h("button.key", { type: "button", text: word("tour") });
  const close = h("button.key", { type: "button", text: "✕", "aria-label": word("close") });
  const element = h("section.key-sheet", { role: "dialog", "aria-label": word("keys"), hidden: "" }, [
    h("div.worth-head", {}, [h("h2", { text: word("keys") }), guide, close]),
    h("dl.key-list", {}, KEYS.flatMap(([key, what]) => [h("dt", {}, [h("kbd", { text: key })]), h("dd", { text: word(what) })])),
  ]);
  const open = () => !element.hidden;
  const toggle = () => {
    setHidden(element, open());
    if (open()) close.focus();
  };
  close.addEventListener("click", toggle);
  guide.addEventListener("click", () => {
    toggle();
    tour();
  });
  return { element, open, toggle };
}
