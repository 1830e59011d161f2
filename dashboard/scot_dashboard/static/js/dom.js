/** Small means to build and change the page; a write happens only when something changed. */

/**
 * @param {string} tag with classes, as in "div.tile.wide"
 * @param {Record<string, string>} [attributes] `text` is the text content
 * @param {(Node|null|undefined)[]} [children]
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, children = []) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") element.textContent = value;
    else element.setAttribute(key, value);
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/** @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Element} element @param {string} name @param {boolean} on */
export function setClass(element, name, on) {
  if (element.classList.contains(name) !== on) element.classList.toggle(name, on);
}

/** @param {HTMLElement} element @param {boolean} hidden */
export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** Size of an element in device pixels, and of one rem. @param {Element} element */
export function deviceSize(element) {
  const { width, height } = element.getBoundingClientRect();
  const ratio = devicePixelRatio || 1;
  return {
    width: Math.max(1, Math.round(width * ratio)),
    height: Math.max(1, Math.round(height * ratio)),
    ratio,
    rem: parseFloat(getComputedStyle(document.documentElement).fontSize) * ratio,
  };
}

/**
 * Call back when an element's size settles.
 *
 * @param {Element} element
 * @param {() => void} call
 */
export function onResize(element, call) {
  let due = 0;
  const observer = new ResizeObserver(() => {
    cancelAnimationFrame(due);
    // An element that a new set of panes has replaced has nothing more to say.
    due = requestAnimationFrame(() => (element.isConnected ? call() : observer.disconnect()));
  });
  observer.observe(element);
}

/** @param {HTMLCanvasElement} canvas */
export function offscreen(canvas) {
  return canvas.transferControlToOffscreen();
}

/** Close the first of these that is open; say whether one was. @param {{close(): boolean}[]} panes */
export function closeOne(panes) {
  return panes.some((pane) => pane.close());
}
