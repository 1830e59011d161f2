/**
 * The thread of notes: each time is a link that moves every pane to the frame it speaks of.
 * @import {Session} from "./session.js"  @import {Note} from "./types.js"
 */

import { shownZone } from "./clock.js";
import { h } from "./dom.js";
import { authorColor } from "./feed/ink.js";
import { clockText } from "./feed/zone.js";
import { word } from "./text.js";

const MOST = 80;
const TEXT_TTL_S = 60;

export class Thread {
  /** @param {Session} session @param {{write: boolean}} options */
  constructor(session, { write }) {
    this.session = session;
    this.list = h("ol.thread-list");
    this.input = /** @type {HTMLInputElement} */ (h("input", {
      type: "text", maxlength: "400", placeholder: word("say"), "aria-label": word("say"), autocomplete: "off",
    }));
    const form = h("form.thread-form", {}, [this.input, h("button", { type: "submit", text: word("send") })]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.input.value.trim();
      if (text) this.say(text);
      this.input.value = "";
    });
    this.element = h("section.thread", { "aria-label": word("notes") }, [this.list, write ? form : null]);
    this.author = "";
    this.prefix = Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => b.toString(16).padStart(2, "0")).join("");
    this.count = 0;
    this.shown = "";
    this.update([]);
  }

  /** @param {string} text */
  say(text) {
    this.session.do({
      do: "annotate",
      note: { id: `${this.prefix}-t${++this.count}`, channel: "", tool: "text", points: [], text, ttl_s: TEXT_TTL_S },
    });
  }

  /** @param {Note[]} notes */
  update(notes) {
    const told = notes.filter((n) => n.tool !== "pointer").sort((a, b) => b.t - a.t).slice(0, MOST);
    const key = told.map((n) => n.id + n.text).join();
    if (key === this.shown && told.length) return;
    this.shown = key;
    this.list.replaceChildren(...told.map((note) => this.item(note)));
    if (!told.length) this.list.append(h("li.thread-empty", { text: word("noNotes") }));
  }

  /** @param {Note} note */
  item(note) {
    const hundredths = String(Math.floor((note.at_unix_ms % 1000) / 10)).padStart(2, "0");
    const time = h("button.thread-time", { type: "button", text: `${clockText(note.at_unix_ms, shownZone())}.${hundredths}` });
    time.addEventListener("click", () => this.session.do({ do: "seek", t: note.at_t + 0.0005, frozen: true }));
    const who = h("span.thread-author", { text: note.author === this.author ? word("you") : note.author });
    who.style.color = authorColor(note.author);
    const said = note.text || word(note.tool);
    return h("li", {}, [h("div", {}, [who, " · ", time].map((n) => (typeof n === "string" ? document.createTextNode(n) : n))), h("p", { text: said })]);
  }
}
