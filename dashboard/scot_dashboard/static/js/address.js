/**
 * An address that names an instant, and what was pinned there: `?t=`, `?pin=`, `?layout=`. It holds
 * no secret: whoever opens it signs in first, and then stands at that instant.
 * @import {Session} from "./session.js"  @import {Note, View} from "./types.js"
 */

import { h, setHidden } from "./dom.js";
import { word } from "./text.js";

const KEY = "scot.wanted";
const KEPT_MS = 10 * 60_000;
const NEAR_MS = 1_500;
const ARRIVE_MS = 15_000;

/** Milliseconds of UTC that `?t=` names: a number, or ISO 8601. @param {string|null} text @returns {number|null} */
export function instantOf(text) {
  if (!text) return null;
  const ms = /^\d{9,16}(\.\d+)?$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isFinite(ms) && ms > 0 ? ms : null;
}

export class Address {
  /** @param {Session} session @param {(text: string) => void} say @param {(t: number) => void} [onward] goes to what a replay has not played */
  constructor(session, say, onward) {
    this.session = session;
    this.onward = onward;
    this.say = say;
    this.wanted = wanted();
    this.since = performance.now();
    /** @type {Note[]} */
    this.notes = [];
    this.field = /** @type {HTMLInputElement} */ (h("input.link-field", { type: "text", readonly: "", "aria-label": word("copyLink") }));
    this.field.addEventListener("blur", () => setHidden(this.field, true));
    setHidden(this.field, true);
    this.button = h("button.drawer-button", { type: "button", text: `${word("copyLink")} · Y`, title: word("copyHint") });
    this.button.addEventListener("click", () => this.copy());
    session.listen({
      link: (state) => {
        if (state === "final") keep(location.search);
      },
      notes: (notes) => (this.notes = notes),
    });
  }

  /** Go where the address says, once the room is there. @param {View} view */
  update(view) {
    const { wanted: to } = this;
    if (!to || !view.connected) return;
    const pin = to.pin ? this.notes.find((n) => n.id === to.pin) : null;
    const late = performance.now() - this.since > ARRIVE_MS;
    if (to.pin && !pin && !late) return; // the notes of the case are still on their way
    this.wanted = null;
    forget();
    if (to.pin && !pin) this.say(word("pinGone"));
    const t = pin ? pin.at_t + 0.0005 : (to.unix_ms ?? 0) + view.now_t - view.now_unix_ms;
    if (!pin && to.unix_ms === null) return;
    if (t > view.now_t && view.span_t && t <= view.span_t[1] && this.onward) return this.onward(t);
    if (t > view.now_t) return this.say(word("notYet"));
    if (t < view.oldest_t) this.say(word("tooOld"));
    this.session.do({ do: "seek", t, frozen: true });
  }

  /** The address of what is on the screen. @param {View} view */
  of(view) {
    const near = this.notes.filter((n) => Math.abs(n.at_t - view.cursor_t) < NEAR_MS && n.tool !== "pointer");
    near.sort((a, b) => Math.abs(a.at_t - view.cursor_t) - Math.abs(b.at_t - view.cursor_t));
    const url = new URL(location.pathname, location.href);
    url.searchParams.set("t", new Date(view.cursor_unix_ms).toISOString());
    const layout = new URLSearchParams(location.search).get("layout");
    if (layout) url.searchParams.set("layout", layout);
    if (near.length && view.mode !== "live") url.searchParams.set("pin", near[0].id);
    return url.href;
  }

  async copy() {
    const { shown } = this.session;
    if (!shown) return;
    const text = this.of(shown);
    try {
      await navigator.clipboard.writeText(text);
      this.say(word("copied"));
    } catch {
      // A browser that lends no clipboard shows the address, so that it can be copied by hand.
      setHidden(this.field, false);
      this.field.value = text;
      this.field.focus();
      this.field.select();
    }
  }
}

/** @typedef {{unix_ms: number|null, pin: string}} Wanted */

/** @returns {Wanted|null} */
function wanted() {
  const read = (/** @type {string} */ search) => {
    const asked = new URLSearchParams(search);
    const unix_ms = instantOf(asked.get("t"));
    const pin = (asked.get("pin") ?? "").slice(0, 80);
    return unix_ms === null && !pin ? null : { unix_ms, pin };
  };
  const here = read(location.search);
  if (here) return here;
  try {
    const { search, until } = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return Date.now() < until ? read(String(search)) : null;
  } catch {
    return null;
  }
}

/** Refused for want of a key: where they wanted to go outlives the signing in. @param {string} search */
function keep(search) {
  const asked = new URLSearchParams(search);
  if (!asked.get("t") && !asked.get("pin")) return;
  try {
    localStorage.setItem(KEY, JSON.stringify({ search, until: Date.now() + KEPT_MS }));
  } catch {
    // Then the link is opened once more after signing in.
  }
}

function forget() {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // There was nothing.
  }
}
