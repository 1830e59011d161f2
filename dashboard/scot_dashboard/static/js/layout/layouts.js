/**
 * Which layout this page shows: one of the room's by name, followed as others save it; one that was
 * changed here; or what the devices of the room suggest.
 * @import {Board} from "./board.js"  @import {ViewName} from "./arrange.js"  @import {Placed} from "./grid.js"  @import {Line, Saved, Version} from "./book.js"
 */

import { word } from "../text.js";
import { adopted, arranged } from "./arrange.js";
import { book, named } from "./book.js";
import { hide, show, sound } from "./grid.js";

const MOST_STEPS = 200;

/** @param {string} key @param {(string|number)[]} values */
export function said(key, ...values) {
  return values.reduce((/** @type {string} */ text, value) => text.replace("{}", String(value)), word(key));
}

export class Layouts {
  /** @param {ViewName} view @param {(text: string) => void} tell */
  constructor(view, tell) {
    this.view = view;
    this.tell = tell;
    /** @type {Board|null} */
    this.board = null;
    const asked = named(new URLSearchParams(location.search).get("layout"));
    this.name = asked.name;
    this.pinned = asked.version;
    /** @type {Version|null} what is shown, as it was saved */
    this.shown = null;
    /** @type {Line[]} */
    this.lines = [];
    /** @type {Version|null} what somebody else saved while this page was being changed */
    this.conflict = null;
    /** @type {{placed: Placed, hidden: string[]}[]} */
    this.past = [];
    /** @type {{placed: Placed, hidden: string[]}[]} */
    this.future = [];
    this.changed = false;
    this.base = 0;
    /** @type {string[]} panes that this layout has never heard of */
    this.fresh = [];
    /** @type {Placed} */
    this.absent = {};
    /** @type {string[]} */
    this.hidden = [];
    /** @type {() => void} */
    this.onChange = () => {};
  }

  /** Arrange a new set of panes. @param {Board} board */
  async open(board) {
    this.board = board;
    this.past = [];
    this.future = [];
    const kept = this.kept();
    if (kept && kept.name === this.name && !this.pinned) {
      this.shown = this.name ? await this.fetch() : null;
      if (this.name && kept.base !== this.shown?.version) this.conflict = this.shown;
      this.base = kept.base;
      this.use(kept.layout);
      this.changed = true;
    } else if (this.name) await this.load();
    else this.suggest();
    this.onChange();
  }

  /** What the room's devices suggest. */
  suggest() {
    if (!this.board) return;
    const { placed, hidden } = arranged(this.board.specs, this.view);
    this.absent = {};
    this.put(placed, hidden);
  }

  /** @returns {Promise<Version|null>} */
  async fetch() {
    const answer = await book.get(this.name, this.pinned);
    if (!answer.ok) this.tell(answer.status ? answer.error : word("noAnswerLayout"));
    return answer.ok ? answer.body : null;
  }

  /** Show the layout of this page's name, the newest unless a version is fixed. */
  async load() {
    const found = await this.fetch();
    this.conflict = null;
    this.shown = found;
    if (found) this.use(found);
    else this.suggest();
    this.base = found?.version ?? 0;
    this.forget();
    this.onChange();
  }

  /** @param {Saved} saved */
  use(saved) {
    if (!this.board) return;
    const { placed, hidden, absent, fresh } = adopted(this.board.specs, saved, this.view);
    this.absent = absent;
    this.put(placed, hidden);
    this.fresh = fresh;
  }

  /** @param {Placed} placed @param {string[]} hidden */
  put(placed, hidden) {
    if (!sound(placed)) return; // never two panes in one place, whoever asks
    this.hidden = hidden;
    this.board?.arrange(placed);
  }

  /** A change by the person here. @param {Placed|null} placed @returns {boolean} */
  change(placed) {
    if (!placed || !this.board) return false;
    this.past.push({ placed: this.board.placed, hidden: this.hidden });
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.future = [];
    this.become(placed);
    return true;
  }

  /** @param {Placed} placed */
  become(placed) {
    this.put(placed, (this.board?.specs ?? []).map((s) => s.id).filter((id) => !placed[id]));
    this.changed = true;
    this.keep();
    this.onChange();
  }

  /** @param {string} id */
  hide(id) {
    return this.board ? this.change(hide(this.board.placed, id)) : false;
  }

  /** @param {string} id */
  show(id) {
    return this.board ? this.change(show(this.board.placed, this.board.least, id)) : false;
  }

  /** @param {boolean} [again] the other way */
  undo(again = false) {
    const [from, to] = again ? [this.future, this.past] : [this.past, this.future];
    const step = from.pop();
    if (!step || !this.board) return false;
    to.push({ placed: this.board.placed, hidden: this.hidden });
    this.become(step.placed);
    return true;
  }

  reset() {
    if (!this.board) return;
    this.absent = {};
    this.change(arranged(this.board.specs, this.view).placed);
  }

  /** Show another layout of the room, or with "" what its devices suggest. @param {string} name @param {number} [version] fixed */
  async choose(name, version = 0) {
    this.name = name;
    this.pinned = version;
    this.past = [];
    this.future = [];
    this.address();
    if (name) return this.load();
    this.shown = null;
    this.conflict = null;
    this.base = 0;
    this.forget();
    this.suggest();
    this.onChange();
  }

  /** @returns {Saved} */
  layout() {
    const board = this.board;
    const placed = { ...(board?.placed ?? {}) };
    // A device that is not here keeps its place for when it comes back, unless it was given away.
    for (const [id, r] of Object.entries(this.absent)) if (sound({ ...placed, [id]: r })) placed[id] = r;
    return {
      view: this.view,
      panes: Object.entries(placed).map(([pane, r]) => ({ pane, ...r })),
      hidden: this.hidden.filter((id) => !placed[id]),
    };
  }

  /**
   * Save what is shown for the whole room.
   *
   * @param {string} name @param {boolean} [over] over what somebody else has saved meanwhile
   * @returns {Promise<boolean>}
   */
  async save(name, over = false) {
    const mine = name === this.name;
    const base = over && this.conflict ? this.conflict.version : mine ? this.base : 0;
    const answer = await book.save(name, base, this.layout());
    if (answer.ok) {
      this.took(answer.body);
      return true;
    }
    if (answer.status === 409 && answer.current) {
      this.conflict = answer.current.name ? answer.current : { ...answer.current, name };
    } else this.tell(answer.status ? answer.error : word("noAnswerLayout"));
    this.onChange();
    return false;
  }

  /** @param {Version} made */
  took(made) {
    this.name = made.name;
    this.pinned = 0;
    this.shown = made;
    this.base = made.version;
    this.conflict = null;
    this.forget();
    this.address();
    this.tell(said("savedAs", made.name, made.version));
    this.onChange();
  }

  /** @param {string} name @param {number} base @param {number} version */
  async restore(name, base, version) {
    const answer = await book.restore(name, base, version);
    if (!answer.ok) return this.tell(answer.error);
    await this.choose(name);
  }

  /** What the room has told: follow the layout that is shown here. @param {Line[]} lines */
  follow(lines) {
    const before = this.lines.some((l) => l.name === this.name);
    this.lines = lines;
    const line = lines.find((l) => l.name === this.name);
    if (!this.pinned && this.name && this.shown) {
      if (!line && before) this.tell(said("deletedLayout", this.name));
      else if (line && line.version !== this.shown.version && !this.changed) void this.load();
    }
    this.onChange();
  }

  /** What somebody saved while this page holds changes of its own. @returns {Line|null} */
  newer() {
    const line = this.lines.find((l) => l.name === this.name);
    return this.changed && !this.pinned && line && line.version > (this.base) ? line : null;
  }

  /** The address says what is shown, so that a reload and a link show it again. */
  address() {
    const url = new URL(location.href);
    url.searchParams.delete("layout");
    if (this.name) url.searchParams.set("layout", this.pinned ? `${this.name}@${this.pinned}` : this.name);
    history.replaceState(null, "", url);
  }

  /** Keep an unsaved change on this display. */
  keep() {
    const kept = { name: this.name, base: this.base, layout: this.layout() };
    try {
      localStorage.setItem(`scot.layout.${this.view}`, JSON.stringify(kept));
    } catch {
      // It holds until this page is closed.
    }
  }

  forget() {
    this.changed = false;
    try {
      localStorage.removeItem(`scot.layout.${this.view}`);
    } catch {
      // Nothing was kept either.
    }
  }

  /** @returns {{name: string, base: number, layout: Saved}|null} */
  kept() {
    try {
      const kept = JSON.parse(localStorage.getItem(`scot.layout.${this.view}`) ?? "null");
      const { panes, hidden } = kept.layout;
      const right = Array.isArray(panes) && Array.isArray(hidden) && panes.every((p) => [p.x, p.y, p.w, p.h].every(Number.isInteger));
      return right ? kept : null;
    } catch {
      return null;
    }
  }

  /** What tests and `window.scot` read. */
  state() {
    return {
      name: this.name, version: this.shown?.version ?? 0, pinned: this.pinned, changed: this.changed,
      conflict: this.conflict?.version ?? 0, hidden: this.hidden, ...this.board?.state(),
    };
  }
}
