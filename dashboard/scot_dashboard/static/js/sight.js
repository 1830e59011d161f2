/**
 * Whether a picture lies on the screen: hidden, scrolled away, in a page behind another, it is not
 * sent and not decoded. @import {Session} from "./session.js"
 */

/** @type {WeakMap<Element, (seen: boolean) => void>} */
const told = new WeakMap();
/** @type {IntersectionObserver|null} */
let observer = null;

/** @param {Session} session @param {Element} element @param {string} id of the picture */
export function watchSight(session, element, id) {
  observer ??= new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) told.get(target)?.(isIntersecting);
  });
  let before = false;
  told.set(element, (seen) => {
    if (seen === before) return;
    before = seen;
    session.do({ do: "sight", id, seen });
  });
  observer.observe(element);
}

/** Tell the worker when nobody can see the page. @param {Session} session */
export function watchPage(session) {
  const tell = () => session.do({ do: "away", away: document.hidden });
  document.addEventListener("visibilitychange", tell);
  if (document.hidden) tell();
}
