/** Small pictures, drawn here: no font has them all, and a sign must not depend on one. */

const NS = "http://www.w3.org/2000/svg";
const BELL = "M12 3a5 5 0 0 0-5 5v4l-2 4h14l-2-4V8a5 5 0 0 0-5-5zM10 19a2 2 0 0 0 4 0";

/** @type {Record<string, string[]>} 24 by 24 */
const PATHS = {
  bell: [BELL],
  // IEC 60417-5576: crossed for off, dashed cross for paused.
  bellOff: [BELL, "M4 4l16 16"],
  bellPaused: [BELL, "M4 4l3 3M10 10l4 4M17 17l3 3"],
  check: ["M4 13l5 5L20 6"],
  question: ["M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2.500", "M12 18v.5"],
  camera: ["M3 8h4l2-3h6l2 3h4v11H3z", "M12 10a3.500 3.500 0 1 0 .01 0z"],
  crop: ["M7 2v15h15M2 7h15v15"],
  expand: ["M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"],
  hold: ["M8 5v14M16 5v14"],
  next: ["M3 5h11v14H3z", "M17 8h4M17 12h4M17 16h4"],
  turn: ["M19 12a7 7 0 1 1-2-5", "M19 3v5h-5"],
  upright: ["M4 6h16v12H4z", "M8 12h8"],
  log: ["M5 6h14M5 12h14M5 18h9"],
  settings: ["M4 7h9M17 7h3M4 17h3M11 17h9", "M15 4.500v5M9 14.500v5"],
};

/** @param {string} name @returns {SVGElement} */
export function icon(name) {
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.dataset.icon = name;
  draw(svg, name);
  return svg;
}

/** @param {SVGElement} svg @param {string} name */
function draw(svg, name) {
  svg.replaceChildren(...(PATHS[name] ?? []).map((d) => {
    const path = document.createElementNS(NS, "path");
    path.setAttribute("d", d);
    return path;
  }));
}

/** Show another one. @param {SVGElement} svg @param {string} name */
export function setIcon(svg, name) {
  if (svg.dataset.icon === name) return;
  svg.dataset.icon = name;
  draw(svg, name);
}
