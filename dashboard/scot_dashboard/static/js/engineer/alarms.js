/**
 * Alarms on the engineer's timeline: ticks on the track, the keys b and n, and the room's log.
 * @import {Session} from "../session.js"  @import {Catalogue, View} from "../types.js"  @import {Layout} from "../plan.js"
 * @import {Transport} from "./transport.js"
 */

import { alarmBeside } from "../alarmfilter.js";
import { AlarmLog } from "../alarmlog.js";
import { h, setHidden } from "../dom.js";
import { word } from "../text.js";

const ASK_MS = 2_000;
const BINS = 1; // only its alarms are wanted

export class AlarmTrack {
  /** @param {Session} session @param {Transport} transport */
  constructor(session, transport) {
    this.session = session;
    this.transport = transport;
    this.log = new AlarmLog(session, (t) => transport.seek(t));
    this.log.onJump = (way) => this.jump(way);
    this.log.onFilter = () => this.mark();
    /** @type {{t: number, to: number|null, priority: string, kind: string, device: string}[]} */
    this.spans = [];
    /** @type {View|null} */
    this.view = null;
    this.asked = -Infinity;
    const button = (/** @type {string} */ text, /** @type {string} */ name, /** @type {string} */ key) => {
      const made = h("button.key", { type: "button", text, title: word(name), "aria-label": word(name) });
      made.addEventListener("click", () => this.key(key));
      return made;
    };
    this.keys = [button("‹ !", "alarmBefore", "b"), button("! ›", "alarmAfter", "n")];
    transport.element.querySelector(".where")?.before(...this.keys, this.log.button);
    session.listen({ lanes: ({ alarms }) => {
      this.spans = alarms.map((/** @type {any[]} */ [t, to, priority, , kind, device]) => ({ t, to, priority, kind, device }));
      for (const key of this.keys) setHidden(key, !this.spans.length);
      this.mark();
    } });
    for (const key of this.keys) setHidden(key, true);
  }

  mark() {
    const rank = (/** @type {string} */ priority) => ["None", "Lo", "Me", "Hi"].indexOf(priority);
    const marked = this.spans.map((a) => ({ ...a, listed: this.log.filter.passes(a) }));
    // The most urgent is drawn last: what began later must not hide it.
    this.transport.alarms = marked.sort((a, z) => rank(a.priority) - rank(z.priority));
  }

  /** @param {View} view @param {Catalogue} catalogue @param {Layout} layout */
  update(view, catalogue, layout) {
    this.view = view;
    this.log.update(view, catalogue, layout);
    const local = performance.now();
    if (!view.connected || local - this.asked < ASK_MS) return;
    this.asked = local;
    const [from_t, to_t] = this.transport.span(view);
    this.session.do({ do: "lanes", from_t, to_t: to_t + 1, bins: BINS });
  }

  /** @param {-1|1} way */
  jump(way) {
    const listed = this.spans.filter((a) => this.log.filter.passes(a));
    const found = this.view && alarmBeside(listed, this.view.cursor_t, way);
    if (found) this.transport.seek(found.t + 0.0005);
  }

  /** What a key does; false when nothing. @param {string} key */
  key(key) {
    if (key === "o") this.log.toggle();
    else if (key === "b" || key === "n") this.jump(key === "b" ? -1 : 1);
    else return false;
    return true;
  }
}
