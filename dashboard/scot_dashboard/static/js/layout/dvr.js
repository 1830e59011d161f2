/** Time under one's hands: back, hold, on, live. @import {Session} from "../session.js"  @import {View} from "../types.js" */

import { h, setText } from "../dom.js";
import { word } from "../text.js";

const STEPS = [["−30 s", -30_000], ["−5 s", -5_000], ["", 0], ["+5 s", 5_000], ["+30 s", 30_000]];

export class Dvr {
  /** @param {Session} session */
  constructor(session) {
    this.hold = h("button.dvr-button", { type: "button", title: `${word("keyFreeze")} (␣)` });
    this.hold.addEventListener("click", () => session.do({ do: "freeze" }));
    this.element = h("div.dvr", { role: "group", "aria-label": word("dvr") }, STEPS.map(([text, ms]) => {
      if (!text) return this.hold;
      const made = h("button.dvr-button", { type: "button", text: String(text) });
      made.addEventListener("click", () => session.do({ do: "step", ms }));
      return made;
    }));
  }

  /** @param {View} view */
  update(view) {
    const held = view.mode === "frozen";
    setText(this.hold, word(held ? "goOn" : "hold"));
    this.hold.setAttribute("aria-pressed", String(held));
  }
}
