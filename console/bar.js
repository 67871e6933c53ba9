// A task's rows as one bar, in proportion: indexed, skipped, rejected, and what is still to come.

import {h} from "./dom.js";
import {count, isOpen, percent, rate, seconds} from "./format.js";

/** The parts of a task's rows; they add up to `total`. Once it is over, what is left was never given an outcome. */
export function parts(task) {
  const {progress} = task;
  const settled = progress.processed_records + progress.skipped_records + progress.failed_records;
  const total = Math.max(progress.total_records, settled);
  return {
    total, settled, indexed: progress.processed_records, skipped: progress.skipped_records,
    rejected: progress.failed_records, left: total - settled,
  };
}

export function bar(task) {
  const {total, indexed, skipped, rejected, left} = parts(task);
  const words = total
    ? `${count(indexed)} indexed, ${count(skipped)} skipped, ${count(rejected)} rejected, ${count(left)} left of ${count(total)} rows`
    : "The rows are not counted yet";
  const piece = (name, rows) => rows > 0 && h("span", {class: `piece ${name}`, style: {"flex-grow": rows}, key: name});
  return h("span", {class: `bar ${total ? "" : "unknown"}`, role: "img", "aria-label": words, title: words},
    piece("indexed", indexed), piece("skipped", skipped), piece("rejected", rejected), piece("left", left));
}

/** Counts that add up, the sum first; each is its number, its name, and the sign that stands before it. */
export function sum(...terms) {
  return h("dl", {class: "sum"}, terms.map(([number, name, sign]) => h("div", {class: `term ${name} ${number ? "" : "none"}`},
    h("dd", {}, sign && h("span", {class: "sign"}, sign, " "), count(number)), h("dt", {}, name))));
}

/** In how many seconds an open task is expected to be done; undefined: nobody knows. */
export function remaining(task) {
  const end = task.metadata.estimated_completion_time;
  return end && isOpen(task.status) ? seconds(Date.now(), end) : undefined;
}

/** How far it is, of all rows. */
export function share(task) {
  const {total, settled} = parts(task);
  return total ? percent(settled / total) : "";
}

const WINDOW_MS = 20_000;

/** How fast tasks are: over the last 20 seconds that were seen, else since the end of their scan. */
export class Paces {
  #seen = new Map();

  /** Take note of a task as it was at a moment. */
  note(task, at = Date.now()) {
    const {settled} = parts(task);
    const kept = (this.#seen.get(task.task_id) || []).filter((each) => at - each.at <= WINDOW_MS);
    kept.push({at, settled});
    this.#seen.set(task.task_id, kept);
  }

  /** Rows a second; of a finished task over all of its chunks. */
  of(task, at = Date.now()) {
    const {settled} = parts(task);
    const seen = this.#seen.get(task.task_id) || [];
    const first = seen[0];
    if (!task.completed_at && first && at - first.at > 3_000) return ((settled - first.settled) * 1000) / (at - first.at);
    if (!task.scanned_at) return 0;
    const took = seconds(task.scanned_at, task.completed_at || new Date(at));
    return took > 0 ? settled / took : 0;
  }

  words(task) {
    const pace = this.of(task);
    return pace > 0 ? `${rate(pace)} rows/s` : "";
  }
}

/** What a task cost so far, in dollars; undefined: nothing is told of it. */
export function cost(bill) {
  if (!bill) return undefined;
  const told = ["openai_dollars", "pinecone_dollars"].map((name) => bill[name]).filter(Number.isFinite);
  return told.length ? told.reduce((one, other) => one + other, 0) : undefined;
}
