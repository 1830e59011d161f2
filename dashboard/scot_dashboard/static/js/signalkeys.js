/**
 * The keys of the room's alarm signals: pause them for two minutes, switch them off, on again. What
 * is not on says who did it and since when, and nobody can overlook it (IEC 60601-1-8, 6.8.5).
 * @import {View} from "./types.js"
 */

import { shownZone } from "./clock.js";
import { h, setClass, setHidden, setText } from "./dom.js";
import { clockText } from "./feed/zone.js";
import { icon, setIcon } from "./icons.js";
import { ageText, spanText, word } from "./text.js";

const ARMED_MS = 5_000;

/** @param {string} sign @param {string} title @param {() => void} act */
export function button(sign, title, act) {
  const made = h("button.alarm-act", { type: "button", title, "aria-label": title }, [icon(sign)]);
  made.addEventListener("click", act);
  made.hidden = true;
  return made;
}

export class SignalKeys {
  /** @param {(wish: "pause"|"off"|"on") => void} wish */
  constructor(wish) {
    this.wish = wish;
    this.pause = button("bellPaused", word("pauseSignals"), () => this.pauseOrOn());
    this.left = h("strong.alarm-left", { text: word("twoMinutes") });
    this.who = h("span.alarm-who");
    this.pause.append(h("span.alarm-held", {}, [this.left, this.who]));
    this.offKey = button("bell", word("signalsOffKey"), () => this.off());
    this.sure = h("span.alarm-left", { text: word("switchOff") });
    this.offKey.append(this.sure);
    this.element = h("div.signal-keys", { role: "group", "aria-label": word("signals") }, [this.pause, this.offKey]);
    this.armed = 0;
    this.staff = false;
    this.activation = "On";
  }

  /** @param {View} view @param {boolean} staff may act */
  update(view, staff) {
    const { activation, left_ms, by, since_t } = view.signals;
    const on = activation === "On";
    this.staff = staff;
    this.activation = activation;
    // Beside "no alarm" a key that says off would read as what the signals are.
    const idle = on && !view.alarms.some((a) => a.state === "active");
    setHidden(this.pause, !view.kept || (on && !staff) || idle);
    setHidden(this.offKey, !view.kept || !staff || activation === "Off" || (idle && !this.armed));
    this.pause.toggleAttribute("disabled", !staff);
    setClass(this.pause, "held", !on);
    setText(this.left, activation === "Psd" ? spanText(left_ms) : word(on ? "twoMinutes" : "signalsAreOff"));
    setText(this.who, on || since_t === null ? "" : whoText(view, by, since_t, activation));
    this.name(word(on ? "pauseSignals" : "resumeSignals"));
    setIcon(/** @type {any} */ (this.pause.firstChild), activation === "Off" ? "bellOff" : "bellPaused");
    setClass(document.body, "signals-held", !on);
    setClass(document.body, "signals-off", activation === "Off");
    if (this.armed && performance.now() - this.armed > ARMED_MS) this.disarm();
  }

  /** @param {string} title */
  name(title) {
    if (this.pause.title === title) return;
    this.pause.title = title;
    this.pause.setAttribute("aria-label", title);
  }

  pauseOrOn() {
    if (this.staff) this.wish(this.activation === "On" ? "pause" : "on");
  }

  /** The first press asks, the second within five seconds does it. */
  off() {
    if (!this.staff || this.activation === "Off") return;
    if (this.armed) {
      this.disarm();
      this.wish("off");
      return;
    }
    this.armed = performance.now();
    setText(this.sure, word("signalsOffSure"));
    setClass(this.offKey, "armed", true);
    this.offKey.setAttribute("aria-label", word("signalsOffSure"));
  }

  disarm() {
    this.armed = 0;
    setText(this.sure, word("switchOff"));
    setClass(this.offKey, "armed", false);
    this.offKey.setAttribute("aria-label", word("signalsOffKey"));
  }
}

/** @param {View} view @param {string} by @param {number} since_t @param {string} activation */
function whoText(view, by, since_t, activation) {
  const at = clockText(since_t + view.now_unix_ms - view.now_t, shownZone()).slice(0, 5);
  const lasts = activation === "Off" ? ` · ${ageText(Math.max(0, view.now_t - since_t))}` : "";
  return `${by} · ${at}${lasts}`;
}
