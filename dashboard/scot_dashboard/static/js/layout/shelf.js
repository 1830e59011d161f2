/** The room's saved layouts: show, save, versions, bring back, delete. @import {Layouts} from "./layouts.js" */

import { shownZone } from "../clock.js";
import { h, setHidden, setText } from "../dom.js";
import { clockText } from "../feed/zone.js";
import { word } from "../text.js";
import { book } from "./book.js";
import { said } from "./layouts.js";

const UTC_OFFSET_MS = 37_000;

export class Shelf {
  /** @param {Layouts} layouts */
  constructor(layouts) {
    this.layouts = layouts;
    this.open = ""; // the name whose versions are listed
    this.key = "";
    this.list = h("ol.shelf-list");
    this.input = /** @type {HTMLInputElement} */ (h("input", {
      type: "text", maxlength: "40", "aria-label": word("layoutName"), placeholder: word("layoutName"), autocomplete: "off",
      pattern: "[\\p{L}\\p{N}_][\\p{L}\\p{N}_ .\\(\\)+\\-]{0,39}",
    }));
    const form = h("form.thread-form", {}, [this.input, h("button", { type: "submit", text: word("saveLayout") })]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.input.value.trim();
      if (name) void layouts.save(name);
    });
    this.trouble = h("div.shelf-trouble", { role: "alert" });
    const close = h("button.big-button", { type: "button", text: "✕", "aria-label": word("close") });
    close.addEventListener("click", () => this.toggle(false));
    this.element = h("section.drawer.shelf", { role: "dialog", "aria-label": word("savedLayouts") }, [
      h("div.panel-head", {}, [h("h2", { text: word("savedLayouts") }), close]), this.trouble, form,
      h("div.drawer-scroll", {}, [this.list]),
    ]);
    setHidden(this.element, true);
    setHidden(this.trouble, true);
    this.button = h("button.choice", { type: "button", text: word("savedLayouts"), "aria-expanded": "false", "data-act": "savedLayouts" });
    this.button.addEventListener("click", () => this.toggle());
  }

  /** @param {boolean} [open] */
  toggle(open = this.element.hidden) {
    setHidden(this.element, !open);
    this.button.setAttribute("aria-expanded", String(open));
    if (!open) return this.button.focus();
    this.input.value = this.layouts.name;
    this.update();
    this.input.focus();
  }

  /** Say whether it was open. */
  close() {
    const open = !this.element.hidden;
    if (open) this.toggle(false);
    return open;
  }

  update() {
    if (this.element.hidden) return;
    this.clash();
    const { layouts } = this;
    // Buttons stay the same elements while the lines do: a press must not fall between two redraws.
    const key = JSON.stringify([layouts.lines.map((l) => [l.name, l.version]), layouts.name, layouts.pinned, layouts.changed, this.open]);
    if (key === this.key) return;
    this.key = key;
    const automatic = this.act("automatic", () => layouts.choose(""), !layouts.name);
    this.list.replaceChildren(h("li.shelf-line", {}, [automatic]), ...layouts.lines.map((line) => this.line(line)));
    if (!layouts.lines.length) this.list.append(h("li.thread-empty", { text: word("noLayouts") }));
  }

  /** Somebody saved meanwhile: what to do about it. */
  clash() {
    const { layouts } = this;
    const { conflict } = layouts;
    const newer = layouts.newer();
    setHidden(this.trouble, !conflict && !newer);
    const text = conflict ? said("conflict", conflict.name, conflict.version, conflict.author)
      : newer ? said("newerVersion", newer.author, newer.version) : "";
    if (this.trouble.firstChild?.textContent === text) return;
    this.trouble.replaceChildren(h("p", { text }), this.act("showTheirs", () => layouts.choose(conflict?.name ?? layouts.name)));
    if (conflict) this.trouble.append(this.act("saveOver", () => layouts.save(conflict.name, true)));
  }

  /** @param {import("./book.js").Line} line */
  line(line) {
    const { layouts } = this;
    const mine = line.name === layouts.name;
    const show = h("button.choice.shelf-name", { type: "button", text: line.name, "aria-pressed": String(mine && !layouts.pinned), "data-layout": line.name });
    show.addEventListener("click", () => layouts.choose(line.name));
    const remove = this.act("deleteLayout", () => {
      if (remove.dataset.sure) return void book.remove(line.name, line.version);
      remove.dataset.sure = "yes";
      setText(remove, word("surely"));
    });
    const history = h("ol.shelf-versions");
    if (this.open === line.name) void this.fill(history, line);
    return h("li.shelf-line", {}, [
      show, h("span.shelf-facts", { text: [this.facts(line), ...(mine ? this.mine() : [])].join(" · ") }),
      this.act("versions", () => {
        this.open = this.open === line.name ? "" : line.name;
        this.update();
      }, this.open === line.name), remove, history,
    ]);
  }

  /** How this screen stands to the layout that it shows. */
  mine() {
    const { pinned, changed } = this.layouts;
    return [pinned ? said("pinnedVersion", pinned) : "", changed ? word("unsaved") : ""].filter(Boolean);
  }

  /** @param {HTMLElement} list @param {import("./book.js").Line} line */
  async fill(list, line) {
    const answer = await book.versions(line.name);
    if (!answer.ok) return this.layouts.tell(answer.error);
    list.replaceChildren(...answer.body.versions.reverse().map((/** @type {import("./book.js").Line} */ one) => h("li.shelf-line", {}, [
      h("span.shelf-facts", { text: this.facts(one) }),
      this.act("showPane", () => this.layouts.choose(line.name, one.version), this.layouts.pinned === one.version),
      one.version === line.version ? null : this.act("restore", () => this.layouts.restore(line.name, line.version, one.version)),
    ])));
  }

  /** @param {import("./book.js").Line} line */
  facts({ version, author, saved_ns, view }) {
    const at = clockText(Number(saved_ns) / 1e6 - UTC_OFFSET_MS, shownZone()).slice(0, 5);
    return `${said("version", version)} · ${author} · ${at} · ${view}`;
  }

  /** @param {string} key @param {() => unknown} act @param {boolean} [pressed] */
  act(key, act, pressed) {
    const made = h("button.choice", { type: "button", text: word(key), "data-act": key, ...(pressed === undefined ? {} : { "aria-pressed": String(pressed) }) });
    made.addEventListener("click", act);
    return made;
  }
}
