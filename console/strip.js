// The chunks of a task in the order of its file: one square each, or some to a square.

import {ask} from "./api.js";
import {Part, h} from "./dom.js";
import {count, plural} from "./format.js";

// Between two looks while the task moves.
const LOOK_MS = 2_500;
const STATES = [
  ["clean", "indexed"], ["partly", "some rows rejected"], ["bad", "all rows rejected"], ["skipped", "all rows skipped"],
  ["some", "in part settled"], ["going", "published"], ["waiting", "not yet published"],
];
const NAMES = Object.fromEntries(STATES);

class Strip extends Part {
  begin() {
    this.looked = 0;
    this.look();
  }

  toldAnew() {
    this.look();
  }

  /** Look when the task has moved, and not too often. */
  async look() {
    const {id, progress, open} = this.told;
    const moved = `${progress.chunks_total} ${progress.chunks_completed} ${open}`;
    if (moved === this.moved || this.looking || !progress.chunks_total) return;
    const wait = this.looked + LOOK_MS - Date.now();
    this.looking = true;
    if (wait > 0) await new Promise((done) => setTimeout(done, wait));
    if (this.isConnected) {
      try {
        this.chunks = await ask(`status/${encodeURIComponent(id)}/chunks`, {signal: this.ends.signal});
        this.moved = moved;
      } catch {
        // The page says that the line does not answer; the next move of the task looks again.
      }
    }
    this.looked = Date.now();
    this.looking = false;
    this.refresh();
    // It may have moved on meanwhile.
    if (this.isConnected && this.moved === moved) this.look();
  }

  view() {
    const {chunks} = this;
    if (!chunks?.chunks) return [];
    const squares = chunks.settled.map((_, number) => this.square(chunks, number));
    const found = new Map();
    for (const {state} of squares) found.set(state, (found.get(state) || 0) + 1);
    const each = chunks.chunks_per_square === 1 ? "a chunk each" : `${count(chunks.chunks_per_square)} chunks each`;
    const summary = STATES.filter(([state]) => found.has(state)).map(([state, name]) => `${count(found.get(state))} ${name}`).join(", ");
    return [h("section", {class: "chunks", "aria-labelledby": "chunks"},
      h("div", {class: "beside"}, h("h2", {id: "chunks"}, "Chunks"),
        h("p", {class: "quiet"}, `${plural(squares.length, "square")}, ${each}: ${count(chunks.settled.reduce((one, other) => one + other, 0))} of ${count(chunks.chunks)} settled`)),
      h("div", {class: "strip", role: "img", "aria-label": `Chunks in the order of the file: ${summary}`},
        squares.map(({state, words}) => h("i", {class: state, title: words}))),
      h("p", {class: "legend", "aria-hidden": "true"}, STATES.filter(([state]) => found.has(state)).map(([state, name]) =>
        h("span", {}, h("i", {class: state}), name))))];
  }

  square(chunks, number) {
    const first = number * chunks.chunks_per_square;
    const size = Math.min(chunks.chunks_per_square, chunks.chunks - first);
    const [settled, indexed, skipped, failed] = ["settled", "indexed", "skipped", "failed"].map((name) => chunks[name][number]);
    let state;
    if (!settled) state = number < chunks.published && this.told.open ? "going" : "waiting";
    else if (failed) state = indexed ? "partly" : "bad";
    else if (settled < size) state = "some";
    else state = indexed || !skipped ? "clean" : "skipped";
    const which = size === 1 ? `Chunk ${count(first)}` : `Chunks ${count(first)} to ${count(first + size - 1)}`;
    const rows = settled ? `: ${count(indexed)} rows indexed, ${count(skipped)} skipped, ${count(failed)} rejected` : "";
    return {state, words: `${which}, ${NAMES[state]}${rows}`};
  }
}

customElements.define("vl-strip", Strip);
