/** What people drew and wrote. @import {Note} from "../types.js"  @import {Room} from "./room.js" */

import { clockText } from "./zone.js";

const DRAWN = new Set(["pointer", "ink", "arrow", "pin"]);
const HELD_MS = 60_000;

export class Notes {
  /** @param {Room} room */
  constructor(room) {
    this.room = room;
    /** @type {Note[]} */
    this.known = [];
    /** @type {{address: string, note: Note}|null} what is being drawn on this very page */
    this.draft = null;
    this.zone = ""; // whose clock captions read
    this.due = false;
    room.onNote = () => this.changed();
  }

  changed() {
    if (this.due) return;
    this.due = true;
    queueMicrotask(() => {
      this.due = false;
      this.known = this.read();
      this.room.tell("notes", { notes: this.known });
    });
  }

  /** The last word on each id. @returns {Note[]} */
  read() {
    const { room } = this;
    /** @type {Map<string, Note>} */
    const byId = new Map();
    for (const address of room.of((c) => c.kind === "annotation")) {
      for (const { t, value } of room.store.track(address, "annotation").samples) {
        const at_ns = BigInt(value.at_ns);
        const at_t = room.time.fromNs(at_ns);
        byId.set(`${value.author}/${value.id}`, {
          points: [], text: "", ttl_s: 8, ...value, at_ns, at_t, at_unix_ms: room.time.unix(at_t), t,
        });
      }
    }
    return [...byId.values()].filter((note) => note.ttl_s > 0);
  }

  /**
   * Strokes over a picture: live for as long as their author wished, on a rewind from the frame
   * they were drawn on.
   *
   * @param {string} address
   * @param {number} t
   * @param {"live"|"play"|"frozen"} mode
   */
  over(address, t, mode) {
    const longer = mode === "frozen" ? HELD_MS : 0;
    const shown = this.known.filter((note) => {
      if (note.channel !== address || !DRAWN.has(note.tool)) return false;
      const begin = mode === "live" ? note.t : note.at_t - 20;
      return begin <= t + 1 && t < begin + note.ttl_s * 1000 + longer;
    });
    return this.draft?.address === address ? [...shown, this.draft.note] : shown;
  }

  /** @param {Note} note */
  caption(note) {
    if (note.id === "draft") return "";
    const hundredths = String(Math.floor((note.at_unix_ms % 1000) / 10)).padStart(2, "0");
    return `${note.author} · ${clockText(note.at_unix_ms, this.zone)}.${hundredths}`;
  }
}
