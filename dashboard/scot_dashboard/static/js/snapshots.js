/**
 * Snapshots to the recording: the mark names the very frame on the screen, and this says whether the
 * recorder has it. @import {Session} from "./session.js"  @import {Picture} from "./picture.js"
 */

import { h, setClass, setText } from "./dom.js";
import { instant } from "./picture.js";
import { word } from "./text.js";

const SHOWN_MS = 6_000;
const TTL_S = 60;

export class Snapshots {
  /** @param {Session} session @param {Picture} picture */
  constructor(session, picture) {
    this.session = session;
    this.picture = picture;
    this.element = h("p.snapshot-word", { role: "status" });
    this.prefix = Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => b.toString(16).padStart(2, "0")).join("");
    this.count = 0;
    this.text = "";
    this.until = 0;
    /** @type {Map<string, string>} the time of what was asked for and not yet answered */
    this.asked = new Map();
    session.listen({ snapshot: (said) => this.told(said) });
  }

  /** Keep what is on the screen. */
  take() {
    const video = this.session.view?.videos[this.picture.id];
    if (!video || video.t_unix_ms === null || video.address !== this.picture.place.address) {
      return this.say(word("noPicture"), true);
    }
    const id = `${this.prefix}-s${++this.count}`;
    this.session.do({
      do: "snapshot",
      id: this.picture.id,
      note: { id, channel: video.address, tool: "snapshot", points: [], text: "", ttl_s: TTL_S },
    });
  }

  /** @param {{id: string, at_unix_ms: number, kept: boolean|null, why: string}} said `kept` null: asked */
  told({ id, at_unix_ms, kept, why }) {
    if (!id.startsWith(this.prefix)) return;
    if (kept === null) this.asked.set(id, instant(at_unix_ms));
    const time = this.asked.get(id) ?? "";
    if (kept !== null) this.asked.delete(id);
    if (kept === null) this.say(word("snapshotSent").replace("{}", time), false);
    else if (kept) this.say(word("snapshotKept").replace("{}", time) + (why ? ` (${why})` : ""), false);
    else this.say(word("snapshotLoose").replace("{}", time) + whyText(why), true);
  }

  /** @param {string} text @param {boolean} bad */
  say(text, bad) {
    this.text = text;
    this.until = performance.now() + (bad ? 2 * SHOWN_MS : SHOWN_MS);
    setText(this.element, text);
    setClass(this.element, "bad", bad);
  }

  update() {
    if (this.text && performance.now() > this.until) this.say("", false);
  }
}

/** @param {string} why a word of ours, or the recorder's own */
function whyText(why) {
  if (why === "recorder") return word("noRecorder");
  if (why === "unanswered") return word("nobodyHolds");
  return why === "lost" ? word("lost") : why;
}
