/**
 * Not live: the banner that nobody can overlook, the room's live numbers beside it, and the way
 * back, which a wall finds by itself.
 * @import {Session} from "./session.js"  @import {Layout} from "./plan.js"  @import {View} from "./types.js"
 */

import { shownZone } from "./clock.js";
import { h, setClass, setHidden, setText } from "./dom.js";
import { clockText } from "./feed/zone.js";
import { placeOf } from "./palette.js";
import { settings } from "./settings.js";
import { Tile } from "./tiles.js";
import { spanText, word } from "./text.js";

const NUMBERS = 4;
const ACTS = ["keydown", "pointerdown", "wheel"];

/**
 * Keys that move through time: ← → 5 s, with Shift 30 s, space freezes, L and Esc return.
 *
 * @param {Session} session
 * @param {Record<string, () => void>} [more] what other keys do, by letter
 * @param {() => boolean} [close] Escape first closes what is open over the room
 */
export function timeKeys(session, more = {}, close = () => false) {
  window.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.defaultPrevented || target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey ? 30_000 : 5_000;
    const button = target.matches("button, a");
    if (event.key === "ArrowLeft") session.do({ do: "step", ms: -far });
    else if (event.key === "ArrowRight") session.do({ do: "step", ms: far });
    else if (event.key === " " && !button) session.do({ do: "freeze" });
    else if (event.key === "Escape" && close()) return;
    else if (event.key === "l" || event.key === "L" || event.key === "Escape") session.do({ do: "live" });
    else if (more[event.key.toLowerCase()]) more[event.key.toLowerCase()]();
    else return;
    event.preventDefault();
  });
}

/** When a wall that was left behind live goes back by itself. */
export class Returning {
  constructor() {
    this.acted = performance.now();
    this.behind = false;
    this.stays = false;
    for (const kind of ACTS) window.addEventListener(kind, () => (this.acted = performance.now()), { passive: true, capture: true });
  }

  /**
   * Milliseconds until it goes back; null when it does not.
   *
   * @param {View} view
   * @param {boolean} replay a replay has no patient to go back to
   */
  left(view, replay) {
    const behind = view.mode !== "live";
    if (behind && !this.behind) {
      this.acted = performance.now();
      this.stays = false;
    }
    this.behind = behind;
    if (!behind || replay || this.stays || !settings.return_s) return null;
    return Math.max(0, settings.return_s * 1000 - (performance.now() - this.acted));
  }
}

/** The banner, the frame, the numbers of the room as it is now. */
export class BehindBanner {
  /** @param {Session|null} [session] @param {{returns?: boolean}} [options] whether it goes back by itself */
  constructor(session = null, { returns = false } = {}) {
    this.session = session;
    this.returning = returns ? new Returning() : null;
    this.what = h("strong");
    this.when = h("span.behind-when");
    this.help = h("span.behind-help");
    this.countdown = h("span.behind-left");
    this.stay = button("stay", () => {
      if (this.returning) this.returning.stays = true;
    });
    this.back = button("toLive", () => session?.do({ do: "live" }));
    this.mark = h("span.live-mark");
    this.numbers = h("div.live-now", { "aria-label": word("liveNow"), role: "group" }, [this.mark]);
    /** @type {Tile[]} */
    this.tiles = [];
    /** @type {Layout|null} */
    this.layout = null;
    this.element = h("section.behind-box", { "aria-label": word("timeline") }, [
      h("div.behind-banner", {}, [
        this.what, this.when, this.help,
        session ? h("span.behind-way", {}, [this.countdown, this.stay, this.back]) : null,
      ]),
      this.numbers,
    ]);
    this.element.hidden = true;
  }

  /** @param {View} view @param {boolean} replay @param {Layout|null} [layout] whose numbers stay in sight */
  update(view, replay, layout = null) {
    const live = view.mode === "live";
    if (layout !== this.layout) this.build(layout);
    const left = this.returning?.left(view, replay) ?? null;
    setText(this.help, word(replay ? "replayGoesOn" : "roomGoesOn"));
    setHidden(this.help, !replay && this.tiles.length > 0); // the room's numbers say it themselves
    setHidden(this.element, live);
    setClass(document.body, "not-live", !live);
    if (live) return;
    const at = clockText(view.cursor_unix_ms, shownZone());
    setText(this.what, view.mode === "frozen"
      ? `${word("frozen")} ${at}.${String(Math.floor(view.cursor_unix_ms % 1000)).padStart(3, "0")}`
      : `${word(replay ? "behindReplay" : "behindLive")} ${spanText(view.behind_ms)}`);
    setText(this.when, view.seeking ? word("seeking") : view.mode === "frozen" ? `−${spanText(view.behind_ms)}` : at);
    setHidden(this.stay, left === null);
    setText(this.countdown, left === null ? "" : word("returnsIn").replace("{}", spanText(left + 999)));
    setText(this.back, `${word(replay ? "toReplay" : "toLive")} · L`);
    if (left === 0) this.session?.do({ do: "live" });
    setText(this.mark, word(replay ? "replay" : "live"));
    for (const tile of this.tiles) tile.update({ ...view, cells: view.heads }, view.alarms);
  }

  /** @param {Layout|null} layout */
  build(layout) {
    this.layout = layout;
    const groups = layout ? firstOfEach([...layout.rows.flatMap((r) => r.groups), ...layout.foot]) : [];
    this.tiles = groups.slice(0, NUMBERS).map((group) => new Tile(group));
    for (const { element } of this.tiles) element.setAttribute("role", "group"); // not a second landmark of its name
    this.numbers.replaceChildren(this.mark, ...this.tiles.map((t) => t.element));
    setHidden(this.numbers, !this.tiles.length);
  }
}

/** One group for each family of parameters, the most important first, then the rest. @param {import("./plan.js").Group[]} groups */
export function firstOfEach(groups) {
  const place = (/** @type {import("./plan.js").Group} */ g) => placeOf(g.members[0].channel);
  const sorted = groups.map((g, i) => ({ g, i })).sort((a, b) => place(a.g) - place(b.g) || a.i - b.i).map((x) => x.g);
  const seen = new Set();
  const first = sorted.filter((g) => !seen.has(place(g)) && seen.add(place(g)));
  return [...first, ...sorted.filter((g) => !first.includes(g))];
}

/** @param {string} key @param {() => void} act */
function button(key, act) {
  const made = h("button.behind-act", { type: "button", text: word(key) });
  made.addEventListener("click", () => {
    made.blur(); // it goes away, and the next press of a key is meant for the room
    act();
  });
  return made;
}
