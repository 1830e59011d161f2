/** Before a page that is not for everybody: trades the link's secret for a session, then asks again. */

import { enter } from "./session.js";
import { lang, word } from "./text.js";

document.documentElement.lang = lang;
const message = /** @type {HTMLElement} */ (document.querySelector("#message"));
const { entered, error } = await enter(/^#(?:wall=)?(.+)$/);
if (entered) location.reload();
else message.textContent = error || word("needKey");
