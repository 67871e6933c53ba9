// What waits for a person: why, since when, and the button that mends it.

import {ask} from "./api.js";
import {Part, announce, h, said} from "./dom.js";
import {ago, count, plural} from "./format.js";
import {to} from "./route.js";
import {may} from "./session.js";

const KINDS = {blocked: "Blocked", stalled: "Stands still", failed: "Failed"};
const REMEDIES = {retry: "Retry", confirm: "Look and confirm", again: "Load again"};
const RESUME = "Let it go on";
const EVERY = "Retry all rows all the same";

/**
 * Do what mends a task; answers what came of it. A retry takes the rows whose reason may have passed; where there are
 * none the API says so, and `every` takes them all. To confirm a mirror, what it was `held` for as a person saw it.
 */
export async function mend(remedy, taskId, every = false, held = null) {
  if (remedy === "confirm") {
    return ask(`task/${encodeURIComponent(taskId)}/confirm`, {method: "POST", body: {checksum: held.checksum}});
  }
  if (remedy === "again") {
    const task = await ask(`status/${encodeURIComponent(taskId)}`);
    return ask("process", {method: "POST", body: task.metadata.parameters});
  }
  return ask(`task/${encodeURIComponent(taskId)}/${remedy}`, {method: "POST", query: every ? {all: true} : {}});
}

/** Whether a refusal is that no row's reason may have passed. */
export const nothingPassed = (error) => error?.reason === "NOTHING_TO_RETRY";

/** What confirming a held mirror does, as the words of its button. */
export const removal = (held) => `Remove ${plural(held.gone, "vector")} of ${count(held.entries)}`;

export function remedyName(remedy, kind, every = false) {
  if (remedy !== "retry") return REMEDIES[remedy];
  if (kind === "blocked") return RESUME;
  return every ? EVERY : REMEDIES.retry;
}

class Needs extends Part {
  begin() {
    this.state = new Map();
    this.every(10_000, () => this.refresh());
  }

  view() {
    const {attention, attention_total: total, counting} = this.told || {};
    const known = attention && !counting;
    return [h("section", {class: "needs", "aria-labelledby": "needs"},
      h("h2", {id: "needs"}, "Needs you", total ? h("span", {class: "number"}, count(total)) : null),
      !known && h("p", {class: "quiet"}, "Looking through the tasks …"),
      known && !attention.length && h("p", {class: "calm"}, "Nothing. No task is blocked or stands still, and none failed in the last day."),
      known && attention.length > 0 && h("ul", {class: "needy"}, attention.map((each) => this.row(each))),
      total > (attention?.length || 0) && h("p", {class: "quiet"}, `${count(total - attention.length)} more are in the list below.`))];
  }

  row(each) {
    const state = this.state.get(each.task_id) || {};
    const deed = state.held ? removal(state.held) : remedyName(each.remedy, each.kind, state.every);
    return h("li", {key: each.task_id, class: each.kind},
      h("p", {class: "what"}, h("strong", {}, KINDS[each.kind] || each.kind), " ",
        h("a", {href: to("task", each.task_id), class: "clipped"}, said(each.source || each.task_id)), " ",
        h("span", {class: "quiet"}, ago(each.since))),
      h("p", {class: "why"}, said(each.message)),
      state.problem && h("p", {class: "problem", role: "alert"}, state.problem),
      each.remedy && may("ingest") && h("button", {
        type: "button", key: "mend", class: "mend", disabled: Boolean(state.asked), onclick: () => this.mend(each),
        "aria-label": `${deed}: ${each.source || each.task_id}`,
      }, state.asked ? "Asked …" : deed));
  }

  async mend(each) {
    const {every, held} = this.state.get(each.task_id) || {};
    this.state.set(each.task_id, {asked: true, every});
    this.refresh();
    try {
      if (each.remedy === "confirm" && !held) {
        // What is confirmed is what was seen: its count and checksum are read, shown, and sent by a second press.
        const task = await ask(`status/${encodeURIComponent(each.task_id)}`);
        this.state.set(each.task_id, task.held ? {held: task.held} : {problem: "It is not held any more."});
        this.refresh();
        return;
      }
      await mend(each.remedy, each.task_id, every, held);
      announce(`${remedyName(each.remedy, each.kind)}: done.`);
    } catch (error) {
      this.state.set(each.task_id, {problem: error.message, every: nothingPassed(error)});
    }
    this.refresh();
  }
}

customElements.define("vl-needs", Needs);
