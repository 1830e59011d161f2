/**
 * A short tour of a screen at the first visit. It never begins over an alarm, ends at once when one
 * comes, at Escape and at a press anywhere else, which still does what it was meant to do.
 */

import { h, setText } from "./dom.js";
import { word } from "./text.js";

const KEY = "scot.tour";
const ROOM_PX = 12;
const SETTLE_MS = 1_500; // a screen that has just come is looked at first
const OVER = ".lost-banner:not([hidden]), .knocks:not([hidden]), .panel:not([hidden]), .drawer:not([hidden]):not(.docked), .key-sheet:not([hidden])";

/** @typedef {[key: string, selector: string]} Step what is said, of what */

/** @type {Record<"room"|"consult"|"engineer", Step[]>} at most six each */
export const STEPS = {
  room: [
    ["tour_alarms", ".alarm-line"], ["tour_numbers", ".wave-tiles, .pane .tile"], ["tour_lanes", ".lanes-canvas"],
    ["tour_mark", ".side-tools > :first-child"], ["tour_layout", "[data-tour=layout]"], ["tour_help", "[data-tour=help]"],
  ],
  consult: [
    ["tour_picture", ".view"], ["tour_numbers", ".numbers"], ["tour_talk", ".thread"],
    ["tour_hand", ".action"], ["tour_lanes", ".lanes-canvas"], ["tour_help", "[data-tour=help]"],
  ],
  engineer: [
    ["tour_tree", ".tree"], ["tour_marks", ".marks-bar"], ["tour_raw", ".raw"], ["tour_transport", ".transport"], ["tour_help", "[data-tour=help]"],
  ],
};

export class Tour {
  /** @param {"room"|"consult"|"engineer"} who @param {{itself?: boolean, settle_ms?: number}} [options] whether it may begin by itself, which it never does on a wall, and after how long */
  constructor(who, { itself = true, settle_ms = SETTLE_MS } = {}) {
    this.who = who;
    this.settle_ms = settle_ms;
    // A browser that a program drives is nobody's first visit.
    this.itself = itself && !navigator.webdriver && !this.seen();
    this.text = h("p.tour-text", { id: "tour-text" });
    this.count = h("span.tour-count", { id: "tour-count" });
    this.back = button("tourBack", () => this.go(this.at - 1));
    this.next = button("tourNext", () => (this.at + 1 < this.steps.length ? this.go(this.at + 1) : this.end()));
    this.skip = button("tourEnd", () => this.end());
    this.card = h("section.tour-card", { role: "dialog", "aria-label": word("tour"), "aria-describedby": "tour-text tour-count", tabindex: "-1" }, [
      this.text, h("div.tour-foot", {}, [this.count, this.skip, this.back, this.next]),
    ]);
    this.ring = h("div.tour-ring", { "aria-hidden": "true" });
    this.card.addEventListener("keydown", (event) => this.pressed(event));
    this.outside = (/** @type {Event} */ event) => {
      if (!this.card.contains(/** @type {Node} */ (event.target))) this.end({ focus: false });
    };
    this.place = () => this.put();
    /** @type {Step[]} */
    this.steps = [];
    this.at = 0;
    /** @type {Element|null} */
    this.before = null;
    this.since = 0;
  }

  get open() {
    return this.card.isConnected;
  }

  seen() {
    try {
      return (JSON.parse(localStorage.getItem(KEY) ?? "[]") ?? []).includes(this.who);
    } catch {
      return true; // a browser that remembers nothing would be shown it each time
    }
  }

  remember() {
    this.itself = false;
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
      localStorage.setItem(KEY, JSON.stringify([...new Set([...(Array.isArray(kept) ? kept : []), this.who])]));
    } catch {
      // It is not shown again before this page is loaded anew.
    }
  }

  /** Each view: begin when it is time to, end when something more important has come. @param {boolean} alarmed @param {boolean} ready the room is on the screen */
  update(alarmed, ready) {
    const busy = alarmed || !ready || Boolean(document.querySelector(OVER));
    if (this.open && (alarmed || !ready || document.querySelector(".knocks:not([hidden])"))) return this.end({ kept: false });
    if (!this.itself || this.open) return;
    const idle = document.visibilityState === "visible" && (!document.activeElement || document.activeElement === document.body);
    if (busy || !idle) this.since = 0;
    else if (!this.since) this.since = performance.now();
    else if (performance.now() - this.since > this.settle_ms) this.begin();
  }

  begin() {
    this.steps = STEPS[this.who].filter(([, selector]) => seen(selector));
    if (!this.steps.length || this.open) return;
    this.itself = false;
    this.before = document.activeElement;
    document.body.append(this.ring, this.card);
    window.addEventListener("pointerdown", this.outside, true);
    window.addEventListener("resize", this.place);
    this.go(0);
  }

  /** @param {number} at */
  go(at) {
    this.at = Math.max(0, Math.min(this.steps.length - 1, at));
    setText(this.text, word(this.steps[this.at][0]));
    const of = word("tourOf").split("{}");
    setText(this.count, `${of[0]}${this.at + 1}${of[1]}${this.steps.length}${of[2] ?? ""}`);
    const last = this.at === this.steps.length - 1;
    setText(this.next, word(last ? "tourDone" : "tourNext"));
    this.back.toggleAttribute("disabled", this.at === 0);
    this.skip.hidden = last;
    seen(this.steps[this.at][1])?.scrollIntoView({ block: "nearest" });
    this.put();
    this.next.focus({ preventScroll: true });
  }

  /** The ring around what is meant; the card where it hides neither that nor an alarm. */
  put() {
    const target = seen(this.steps[this.at]?.[1] ?? "")?.getBoundingClientRect();
    this.ring.hidden = !target;
    if (!target) return;
    const gap = 4;
    Object.assign(this.ring.style, {
      left: `${target.left - gap}px`, top: `${target.top - gap}px`, width: `${target.width + 2 * gap}px`, height: `${target.height + 2 * gap}px`,
    });
    const { width, height } = this.card.getBoundingClientRect();
    const line = document.querySelector(".alarm-line")?.getBoundingClientRect();
    const [x, y] = placeFor(target, { width, height }, { width: innerWidth, height: innerHeight }, line);
    Object.assign(this.card.style, { left: `${x}px`, top: `${y}px` });
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.key === "Escape") this.end();
    else if (event.key === "ArrowRight") this.go(this.at + 1);
    else if (event.key === "ArrowLeft") this.go(this.at - 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Escape from anywhere; say whether it was open. */
  close() {
    const { open } = this;
    if (open) this.end();
    return open;
  }

  /** @param {{focus?: boolean, kept?: boolean}} [how] give the focus back; do not come again by itself */
  end({ focus = true, kept = true } = {}) {
    if (!this.open) return;
    const held = this.card.contains(document.activeElement);
    this.card.remove();
    this.ring.remove();
    window.removeEventListener("pointerdown", this.outside, true);
    window.removeEventListener("resize", this.place);
    if (kept) this.remember();
    if (focus && held && this.before instanceof HTMLElement && this.before.isConnected) this.before.focus({ preventScroll: true });
  }
}

/** @param {string} key @param {() => void} act */
function button(key, act) {
  const made = h("button.choice", { type: "button", text: word(key) });
  made.addEventListener("click", act);
  return made;
}

/** The first of these that is on the screen. @param {string} selector @returns {Element|null} */
function seen(selector) {
  if (!selector) return null;
  return [...document.querySelectorAll(selector)].find((e) => e.getClientRects().length > 0) ?? null;
}

/** @typedef {{left: number, top: number, right: number, bottom: number, width: number, height: number}} Box */

/**
 * Upper left corner of a card: below, above, right or left of its target where it fits whole and off
 * the alarm line; else at the foot of the screen.
 *
 * @param {Box} target @param {{width: number, height: number}} card @param {{width: number, height: number}} screen @param {Box|undefined} line
 * @returns {[number, number]}
 */
export function placeFor(target, card, screen, line) {
  const within = (/** @type {number} */ v, /** @type {number} */ most) => Math.max(ROOM_PX, Math.min(v, most - ROOM_PX));
  const x = within(target.left, screen.width - card.width);
  const y = within(target.top, screen.height - card.height);
  /** @type {[number, number][]} */
  const places = [
    [x, target.bottom + ROOM_PX], [x, target.top - card.height - ROOM_PX],
    [target.right + ROOM_PX, y], [target.left - card.width - ROOM_PX, y],
  ];
  const fits = ([left, top] = [0, 0]) => left >= 0 && top >= 0 && left + card.width <= screen.width && top + card.height <= screen.height
    && (!line || top >= line.bottom || top + card.height <= line.top || left >= line.right || left + card.width <= line.left);
  return places.find((p) => fits(p)) ?? [within((screen.width - card.width) / 2, screen.width - card.width), Math.max(0, screen.height - card.height - ROOM_PX)];
}
