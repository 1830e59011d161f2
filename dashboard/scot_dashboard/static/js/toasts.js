/** What remote people write, on the wall for a while. @import {Note, View} from "./types.js" */

import { shownZone } from "./clock.js";
import { h, setHidden } from "./dom.js";
import { authorColor } from "./feed/ink.js";
import { clockText } from "./feed/zone.js";

const SHOWN_MS = 25_000;
const OWN_MS = 4_000;
const MOST = 3;

export class Toasts {
  constructor() {
    this.element = h("div.toasts", { role: "log", "aria-live": "polite" });
    /** @type {Note[]} */
    this.notes = [];
    this.author = "";
    this.key = "";
    /** @type {{text: string, until: number}|null} */
    this.warning = null;
  }

  /** @param {Note[]} notes @param {string} author whose own notes are only seen to have arrived */
  take(notes, author) {
    this.notes = notes.filter((n) => n.text && !n.points.length);
    this.author = author;
  }

  /** Something that this page asked for and the room did not do. @param {string} text */
  warn(text) {
    this.warning = { text, until: performance.now() + SHOWN_MS / 3 };
  }

  /** @param {View} view */
  update(view) {
    if (this.warning && performance.now() > this.warning.until) this.warning = null;
    const lasts = (/** @type {Note} */ n) => (n.author === this.author ? OWN_MS : SHOWN_MS);
    const fresh = this.notes.filter((n) => view.now_t - n.t < lasts(n)).slice(-MOST);
    const key = fresh.map((n) => n.id).join() + (this.warning?.text ?? "");
    if (key === this.key) return;
    this.key = key;
    this.element.replaceChildren(...fresh.map((note) => {
      const who = h("strong", { text: note.author });
      who.style.color = authorColor(note.author);
      return h("p.toast", {}, [
        who, h("span.toast-time", { text: clockText(note.at_unix_ms, shownZone()) }), h("span", { text: note.text }),
      ]);
    }));
    if (this.warning) this.element.append(h("p.toast.toast-warning", { text: this.warning.text }));
    setHidden(this.element, !this.element.children.length);
  }
}
