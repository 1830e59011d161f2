/**
 * Alarms on the engineer's timeline: the keys b and n, and the room's log.
 * @import {Session} from "../session.js"  @import {Catalogue, View} from "../types.js"  @import {Layout} from "../plan.js"
 * @import {Transport} from "./transport.js"
 */

import { AlarmLog } from "../alarmlog.js";
import { h, setHidden } from "../dom.js";
import { word } from "../text.js";

export class AlarmKeys {
  /** @param {Session} session @param {Transport} transport */
  constructor(session, transport) {
    const { lanes } = transport;
    this.lanes = lanes;
    this.log = new AlarmLog(session);
    this.log.steer(lanes);
    const button = (/** @type {string} */ text, /** @type {string} */ name, /** @type {string} */ key) => {
      const made = h("button.key", { type: "button", text, title: word(name), "aria-label": word(name) });
      made.addEventListener("click", () => this.key(key));
      return made;
    };
    this.keys = [button("‹ !", "alarmBefore", "b"), button("! ›", "alarmAfter", "n")];
    transport.element.querySelector(".where")?.before(...this.keys, this.log.button);
    transport.element.append(lanes.voice);
  }

  /** @param {View} view @param {Catalogue} catalogue @param {Layout} layout */
  update(view, catalogue, layout) {
    this.log.update(view, catalogue, layout);
    for (const key of this.keys) setHidden(key, !this.lanes.alarmSpans().length);
  }

  /** What a key does; false when nothing. @param {string} key */
  key(key) {
    if (key === "o") this.log.toggle();
    else if (key === "b" || key === "n") this.lanes.jumpAlarm(key === "b" ? -1 : 1);
    else return false;
    return true;
  }
}
