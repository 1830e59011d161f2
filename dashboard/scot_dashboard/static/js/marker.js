/**
 * A marker at the moment on the screen: by key, foot pedal or finger. It is an annotation of the
 * room like any other: recorded, on every scrubber, in the report.
 * @import {Session} from "./session.js"  @import {Note} from "./types.js"
 */

import { h } from "./dom.js";
import { settings } from "./settings.js";
import { word } from "./text.js";

const MARK_TTL_S = 20;
const TWICE_MS = 400;
const AGAIN_MS = 2_000;
const GIVE_UP_MS = 12_000;

export class Marker {
  /** @param {Session} session @param {(text: string) => void} say */
  constructor(session, say) {
    this.session = session;
    this.say = say;
    /** @type {Map<string, {wish: Record<string, any>, since: number, sent: number}>} what the room has not yet said to have */
    this.pending = new Map();
    this.prefix = Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => b.toString(16).padStart(2, "0")).join("");
    this.count = 0;
    this.known = 0;
    /** @type {Map<string, number>} */
    this.last = new Map();
    this.button = h("button.drawer-button", { type: "button", text: `⚑ ${word("mark")} · M`, title: word("markHint") });
    this.button.addEventListener("click", () => this.mark("finger"));
    window.addEventListener("keydown", (event) => this.pedal(event), { capture: true });
  }

  /** @param {Note[]} notes of the room: markers are numbered for all of its screens */
  take(notes) {
    this.known = notes.filter((n) => n.tool === "chapter").length;
    for (const { id } of notes) this.pending.delete(id);
  }

  /** A line may break just then: what the room does not have is sent again, with its own time. */
  update() {
    const now = performance.now();
    for (const [id, mark] of this.pending) {
      if (now - mark.since > GIVE_UP_MS) {
        this.pending.delete(id);
        this.say(word("notMarked"));
      } else if (now - mark.sent > AGAIN_MS) {
        mark.sent = now;
        this.session.do(mark.wish);
      }
    }
  }

  /** @param {"key"|"pedal"|"finger"} way each of them bounces for itself, or is held down */
  mark(way) {
    const now = performance.now();
    const { view, viewAt } = this.session;
    const last = this.last.get(way) ?? -Infinity;
    this.last.set(way, now);
    if (!view || now - last < TWICE_MS) return;
    this.count = Math.max(this.known, this.count) + 1;
    const id = `${this.prefix}-m${this.count}`;
    const wish = {
      do: "annotate",
      t: view.mode === "frozen" ? view.cursor_t : view.cursor_t + now - viewAt,
      note: { id, channel: "", tool: "chapter", points: [], text: `${word("marker")} ${this.count}`, ttl_s: MARK_TTL_S },
    };
    this.pending.set(id, { wish, since: now, sent: now });
    this.session.do(wish);
  }

  /** A pedal is a keyboard with one key: it works wherever the focus is. @param {KeyboardEvent} event */
  pedal(event) {
    if (!settings.pedal || event.key !== settings.pedal) return;
    const typing = /** @type {HTMLElement} */ (event.target).matches("input, textarea, select");
    if (typing && event.key.length === 1) return;
    event.preventDefault();
    if (event.repeat) return;
    if (settings.pedal_does === "hold") this.session.do({ do: "freeze" });
    else this.mark("pedal");
  }
}
