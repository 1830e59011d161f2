/**
 * Who knocks and who watches: large buttons, for gloves.
 * @import {Session} from "./session.js"  @import {Person} from "./types.js"
 */

import { h, setHidden } from "./dom.js";
import { personText } from "./header.js";
import { word } from "./text.js";
import { Thread } from "./thread.js";

export class Door {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    this.thread = new Thread(session, { write: true });
    this.knocks = h("div.knocks", { role: "alertdialog", "aria-live": "assertive", "aria-label": word("knocks") });
    this.list = h("div.viewer-list");
    const close = h("button.big-button", { type: "button", text: "✕", "aria-label": word("close") });
    close.addEventListener("click", () => setHidden(this.viewers, true));
    this.viewers = h("section.viewers", { role: "dialog", "aria-label": word("viewers") }, [
      h("div.panel-head", {}, [h("h2", { text: word("viewers") }), close]), this.list, this.thread.element,
    ]);
    setHidden(this.knocks, true);
    setHidden(this.viewers, true);
    this.shown = "";
  }

  open() {
    setHidden(this.viewers, false);
  }

  /** @param {Person[]} people */
  update(people) {
    const knocking = people.filter((p) => p.state === "knocking");
    const there = people.filter((p) => p.state === "admitted");
    // Buttons stay the same elements while the people do: a press must not fall between two redraws.
    const key = knocking.map((p) => p.id).join() + "|" + there.map((p) => p.id).join();
    if (key !== this.shown) {
      this.shown = key;
      this.knocks.replaceChildren(...knocking.map((p) => this.knock(p)));
      this.list.replaceChildren(...there.map((p) => this.viewer(p)));
      if (!there.length) this.list.append(h("p", { text: word("nobody") }));
    }
    setHidden(this.knocks, knocking.length === 0);
    there.forEach((p, i) => {
      const text = this.list.children[i]?.firstElementChild;
      if (text && text.textContent !== personText(p)) text.textContent = personText(p);
    });
  }

  /** @param {Person} person */
  knock(person) {
    const who = /** @type {any} */ (person).label ? ` (${/** @type {any} */ (person).label})` : "";
    return h("div.knock", {}, [
      h("strong", { text: `${person.author}${who} ${word("knocks")}` }),
      this.button("admit", person, "big-button.yes"),
      this.button("refuse", person, "big-button.no"),
    ]);
  }

  /** @param {Person} person */
  viewer(person) {
    return h("div.viewer", {}, [h("span", { text: personText(person) }), this.button("revoke", person, "big-button.no")]);
  }

  /** @param {string} act @param {Person} person @param {string} classes */
  button(act, person, classes) {
    const button = h(`button.${classes}`, { type: "button", text: word(act), "data-act": act, "data-person": person.id });
    button.addEventListener("click", () => {
      this.session.do({ do: "person", act, session: person.id });
      button.setAttribute("disabled", "");
    });
    return button;
  }
}
