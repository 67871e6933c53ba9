// Elements from descriptions, and a page that is changed only where its description changed.
//
// Text from outside becomes text nodes and attribute values, never markup: there is no innerHTML here, and the page's
// Content-Security-Policy (trusted types) would refuse it.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "title"]);
// What the user changes in an element, and what a new description must not undo.
const THEIRS = new Set(["open", "style"]);

// Signs that would turn the text around them, or that nobody sees: they are shown as what they are.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

const shown = (text) => String(text).replace(HIDDEN, (sign) => `\u27e8U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);

/**
 * An element. Of `given`: functions named on… listen, `style` is an object of properties, `key` ties it to its
 * predecessor, names in PROPERTIES are set as properties, true and false make or leave out an attribute, and the rest
 * are attributes. Custom elements take an object as `data`.
 */
export function h(tag, given = {}, ...children) {
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  const made = {on: {}, style: null, own: {}, key: given.key};
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false || name === "key") continue;
    if (name.startsWith("on")) made.on[name] = value;
    else if (name === "style") made.style = value;
    else if (PROPERTIES.has(name)) made.own[name] = value;
    else if (name === "title" || name === "aria-label") node.setAttribute(name, shown(value));
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.made = made;
  node.append(...flat(children));
  apply(node, made);
  return node;
}

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "data"]);

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "")
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

function apply(node, made) {
  for (const [name, listener] of Object.entries(made.on)) node[name] = listener;
  for (const [name, value] of Object.entries(made.style || {})) node.style.setProperty(name, String(value));
  for (const [name, value] of Object.entries(made.own)) {
    const typing = node === document.activeElement && name === "value";
    if (!typing && node[name] !== value) node[name] = value;
  }
}

/** Make the children of a node what `children` describes, keeping every element that is still there. */
function fill(node, ...children) {
  const wanted = flat(children);
  const keyed = new Map();
  for (const old of node.childNodes) if (old.made?.key !== undefined) keyed.set(old.made.key, old);
  const kept = new Set(wanted.map((next) => next.made?.key));
  let at = node.firstChild;
  const drop = () => {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  };
  for (const next of wanted) {
    const key = next.made?.key;
    while (at?.made?.key !== undefined && !kept.has(at.made.key)) drop();
    const match = key !== undefined ? keyed.get(key) : ahead(at, next);
    if (!match || !alike(match, next)) {
      node.insertBefore(next, at);
      continue;
    }
    // What lies between is gone: moving the match instead would take the focus from it.
    while (key === undefined && at !== match) {
      const passed = at;
      if (passed.made?.key === undefined) drop();
      else {
        at = at.nextSibling;
        node.append(passed);
      }
    }
    if (match !== at) node.insertBefore(match, at);
    else at = at.nextSibling;
    become(match, next);
  }
  while (at) drop();
}

/** The next that a node without a key may be. */
function ahead(at, next) {
  while (at && !alike(at, next)) at = at.nextSibling;
  return at;
}

function alike(old, next) {
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName || old.made?.key !== next.made?.key) return false;
  // A button without a key is what stands on it: none becomes another under a finger that is about to press it.
  return old.nodeName !== "BUTTON" || old.made?.key !== undefined || old.textContent === next.textContent;
}

function become(old, next) {
  if (old === next) return;
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  for (const {name} of [...old.attributes]) {
    if (!next.hasAttribute(name) && !THEIRS.has(name)) old.removeAttribute(name);
  }
  for (const {name, value} of next.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const name of Object.keys(old.made?.on || {})) if (!(name in next.made.on)) old[name] = null;
  for (const name of Object.keys(old.made?.own || {})) {
    if (!(name in next.made.own) && typeof old[name] === "boolean") old[name] = false;
  }
  for (const name of Object.keys(old.made?.style || {})) {
    if (!(name in (next.made.style || {}))) old.style.removeProperty(name);
  }
  // What a custom element shows is its own.
  if (!old.nodeName.includes("-")) fill(old, ...next.childNodes);
  old.made = next.made;
  apply(old, next.made);
}

/** A part of the page: `view()` describes its children, `refresh()` shows them, once a frame however often it is asked. */
export class Part extends HTMLElement {
  #asked = false;

  connectedCallback() {
    this.ends = new AbortController();
    this.begin();
    this.show();
  }

  disconnectedCallback() {
    this.ends.abort();
    this.end();
  }

  begin() {}

  end() {}

  view() {
    return [];
  }

  show() {
    if (this.isConnected) fill(this, this.view());
  }

  refresh() {
    if (this.#asked) return;
    this.#asked = true;
    const now = () => {
      this.#asked = false;
      this.show();
    };
    // A hidden page has no frames.
    if (document.hidden) setTimeout(now, 0);
    else requestAnimationFrame(now);
  }

  /** What the part is told by whoever describes it. */
  get data() {
    return this.told;
  }

  set data(told) {
    const before = this.told;
    this.told = told;
    if (this.isConnected) this.toldAnew(before);
  }

  /** What comes of being told anew; its argument is what it was told before. */
  toldAnew() {
    this.refresh();
  }

  /** Do something every so many milliseconds for as long as the part is shown. */
  every(milliseconds, action) {
    const timer = setInterval(action, milliseconds);
    this.ends.signal.addEventListener("abort", () => clearInterval(timer));
  }

  /** Listen for as long as the part is shown. */
  hear(target, name, listener) {
    target.addEventListener(name, listener, {signal: this.ends.signal});
  }
}

/** Text of strangers: its direction ends with it. */
export function said(text, given = {}) {
  return h("bdi", given, shown(text));
}

/** Say something to those who hear the page. */
export function announce(text) {
  const spoken = document.getElementById("spoken");
  if (spoken) spoken.textContent = text;
}
