/**
 * The clock at the top of a screen: the room's time with its zone and, for whoever looks from another
 * one, their own beside it. A press turns it to the viewer's own time or to UTC, and with it every
 * time on the screen. @import {View} from "./types.js"
 */

import { besideClock, roomZone, shownZone, turnClock, whoseClock } from "./clock.js";
import { h, setHidden, setText } from "./dom.js";
import { clockText, dateText, zoneText } from "./feed/zone.js";
import { lang, word } from "./text.js";

const DAY_MS = 86_400_000;

export class ClockFace {
  constructor() {
    this.date = h("span.clock-date");
    this.time = h("span.clock-time");
    this.zone = h("span.clock-zone");
    this.beside = h("span.clock-beside");
    this.element = h("button.clock", { type: "button" }, [
      this.time, h("span.clock-side", {}, [h("span", {}, [this.date, this.zone]), this.beside]),
    ]);
    this.now = 0;
    this.element.addEventListener("click", () => turnClock(this.now));
  }

  /** @param {View} view @param {boolean} replay */
  update({ now_unix_ms: now }, replay) {
    this.now = now;
    const zone = shownZone();
    const whose = whoseClock();
    const old = replay || !(Math.abs(Date.now() - now) < DAY_MS);
    setText(this.date, old ? dateText(now, zone) : "");
    setHidden(this.date, !old);
    setText(this.time, clockText(now, zone));
    const place = whose === "own" && roomZone() ? `${word("yourTime")} ` : "";
    setText(this.zone, roomZone() || whose === "utc" ? `${place}${zoneText(now, zone)}` : word("localTime"));
    const beside = besideClock(now);
    setHidden(this.beside, !beside);
    setText(this.beside, beside ? besideText(now, beside) : "");
    const title = [roomZone() && `${word("roomTime")}: ${roomZone()}`, word("clockTurn")].filter(Boolean).join("\n");
    if (this.element.title !== title) this.element.title = title;
  }
}

/** With the day of the week where it is another day there. @param {number} now @param {"room"|"own"|"utc"} whose */
function besideText(now, whose) {
  const zone = whose === "own" ? "" : roomZone();
  const other = dateText(now, zone) !== dateText(now, shownZone());
  const day = other ? new Intl.DateTimeFormat(lang, { weekday: "short", timeZone: zone || undefined }).format(now) : "";
  return [word(whose === "own" ? "yourTime" : "roomTime"), day, clockText(now, zone).slice(0, 5)].filter(Boolean).join(" ");
}
