// One task: counts that add up before one's eyes, its chunks, what was found out, its rejects, its time and its bill.

import {ApiError, ask, fetched, follow} from "./api.js";
import {Paces, bar, parts, remaining, share, sum} from "./bar.js";
import {bill, copies, detected, stages, warnings} from "./facts.js";
import {Part, announce, h, said} from "./dom.js";
import {TERMINAL, WORDS, count, duration, isOpen, plural, time} from "./format.js";
import {mend, nothingPassed, remedyName, removal} from "./needs.js";
import {to} from "./route.js";
import {may} from "./session.js";
import "./rejects.js";
import "./strip.js";

// Of a task that is no load there is no row to retry, and nothing to load again.
const JOBS = new Set(["verify", "adopt", "remove"]);
const loads = (task) => !JOBS.has(task.metadata.task_type);

function found(task) {
  const {result} = task;
  if (result?.listed === undefined) return null;
  if (result.missing === undefined) return h("section", {key: "found"}, h("h2", {}, "What was found"),
    h("p", {}, `${count(result.listed)} ids in the index · ${count(result.known)} known now · ${count(result.unknown)} bought with the next load · ${count(result.sampled)} vectors bought again`));
  const told = [[result.listed, "ids in the index"], [result.missing, "missing"], [result.strange, "strange"], [result.differing, "differing"],
    [result.fetched, "records fetched"], [result.sampled, "vectors bought again"]];
  return h("section", {key: "found"}, h("h2", {}, "What was found"),
    h("p", {}, told.map(([amount, what]) => `${count(amount)} ${what}`).join(" · ")),
    result.repair_task_id && h("p", {}, "What is missing or differs is bought again by ", h("a", {href: to("task", result.repair_task_id)}, result.repair_task_id), "."));
}

class Task extends Part {
  begin() {
    this.paces = new Paces();
    this.id = this.told;
    this.every(1_000, () => this.task && isOpen(this.task.status) && this.refresh());
    this.listen();
    this.kin();
  }

  async listen() {
    this.problem = null;
    try {
      await follow(`status/${encodeURIComponent(this.id)}/watch`, {
        signal: this.ends.signal, each: (task) => this.hearTask(task),
      });
    } catch (error) {
      this.problem = error;
      this.refresh();
    }
  }

  hearTask(task) {
    const before = this.task?.status;
    this.task = task;
    this.at = new Date().toISOString();
    document.title = `${(task.metadata.source || "Task").slice(0, 60)} · ${WORDS[task.status]} · Vectorline`;
    if (!TERMINAL.has(task.status)) this.paces.note(task);
    if (before && before !== task.status) announce(`The task is ${WORDS[task.status]} now.`);
    this.refresh();
    return TERMINAL.has(task.status);
  }

  /** Its retries: tasks that name it. */
  async kin() {
    try {
      await follow("tasks:watch", {
        query: {text: this.id, page_size: 20}, signal: this.ends.signal,
        each: (view) => {
          this.retries = view.tasks.filter((task) => task.metadata.parent_task_id === this.id);
          this.refresh();
          return !view.counting;
        },
      });
    } catch {
      // The page has the task without them.
    }
  }

  view() {
    if (this.problem && !this.task) return [this.missing()];
    const {task} = this;
    if (!task) return [h("h1", {class: "unseen"}, "Task"), h("p", {class: "quiet"}, "Reading the task …")];
    return [
      this.head(task),
      this.state(task),
      h("section", {class: "counts", "aria-label": "Rows"}, this.sum(task), bar(task), this.pace(task)),
      h("vl-strip", {data: {id: this.id, progress: task.progress, open: !TERMINAL.has(task.status)}}),
      found(task),
      warnings(task),
      h("vl-rejects", {data: {task, rows: task.progress.failed_records, over: TERMINAL.has(task.status)}}),
      h("div", {class: "two"}, h("div", {}, stages(task, this.at), bill(task), this.family(task)), detected(task)),
      loads(task) && copies(task),
    ];
  }

  missing() {
    const gone = this.problem instanceof ApiError && this.problem.status === 404;
    return h("section", {}, h("h1", {}, gone ? "There is no such task" : "The task cannot be read"),
      h("p", {class: "problem", role: "alert"}, this.problem.message),
      h("p", {}, h("a", {href: to("tasks")}, "All tasks"), gone ? "" : [" · ", h("button", {type: "button", onclick: () => this.listen()}, "Try again")]));
  }

  head(task) {
    const name = task.metadata.source || task.metadata.task_type || task.task_id;
    return h("div", {class: "title"},
      h("p", {class: "quiet"}, h("a", {href: to("tasks")}, "Tasks"), " / ", h("code", {}, task.task_id)),
      h("h1", {class: "long", title: name.slice(0, 500)}, said(name)),
      h("p", {class: "beside"},
        h("span", {class: `status big ${task.status}`}, WORDS[task.status] || task.status),
        h("span", {class: "quiet"}, "to ", said(task.metadata.namespace), ", read at ", time(this.at)),
        h("span", {class: "buttons"}, this.buttons(task))));
  }

  buttons(task) {
    if (!may("ingest")) return null;
    const over = TERMINAL.has(task.status);
    const deeds = [];
    if (task.status === "blocked") deeds.push(task.held ? "confirm" : "retry");
    if (over && task.progress.failed_records && loads(task)) deeds.push("retry");
    if (task.status === "failed" && !task.progress.failed_records && loads(task)) deeds.push("again");
    return [
      deeds.map((deed) => h("button", {
        type: "button", class: "main", disabled: Boolean(this.asked), key: deed, onclick: () => this.act(() => mend(deed, task.task_id, this.all, task.held)),
      }, deed === "confirm" ? removal(task.held) : deed === "retry" && over && !this.all ? "Retry the rejected rows" : remedyName(deed, task.status, this.all))),
      !over && h("button", {
        type: "button", key: "cancel", disabled: Boolean(this.asked), onclick: () => this.cancel(),
      }, this.sure ? "Really cancel: nothing more is loaded" : "Cancel"),
    ];
  }

  cancel() {
    if (!this.sure) {
      this.sure = true;
      setTimeout(() => {
        this.sure = false;
        this.refresh();
      }, 6_000);
      this.refresh();
      return;
    }
    this.sure = false;
    this.act(() => fetched(`task/${encodeURIComponent(this.id)}`, {method: "DELETE"}));
  }

  async act(deed) {
    this.asked = true;
    this.refused = "";
    this.refresh();
    try {
      const came = await deed();
      if (came?.task_id && came.task_id !== this.id) location.hash = to("task", came.task_id);
      else if (TERMINAL.has(this.task.status) === false) this.task = await ask(`status/${encodeURIComponent(this.id)}`);
    } catch (error) {
      this.refused = error.message;
      this.all = nothingPassed(error);
    }
    this.asked = false;
    this.refresh();
  }

  state(task) {
    return [
      this.refused && h("p", {class: "problem", role: "alert", key: "refused"}, this.refused),
      task.error && h("p", {class: "notice", key: "error"}, h("code", {}, task.error_reason), " ", said(task.error)),
      task.held && h("p", {key: "held"}, h("button", {type: "button", class: "plain", onclick: () => this.act(() => this.saveGone())},
        `Download the ids of ${plural(task.held.gone, "vector")} that would be removed`)),
      task.stalled_since && h("p", {class: "notice", key: "stalled"}, "It stands still since ", time(task.stalled_since), ". ", said(task.stalled_reason)),
    ];
  }

  async saveGone() {
    const answer = await fetched(`status/${encodeURIComponent(this.id)}/rejects`, {query: {include: "gone"}});
    const link = h("a", {href: URL.createObjectURL(await answer.blob()), download: `gone-${this.id}.csv`});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  sum(task) {
    const {total, indexed, skipped, rejected, left} = parts(task);
    if (!total && !TERMINAL.has(task.status)) return h("p", {class: "quiet"}, loads(task) ? "The rows are counted by the scan, before anything is bought." : "The ids are listed.");
    if (!loads(task)) return sum([total, "ids"], [indexed, "as they were written", "="], [rejected, "not so", "+"], [left, TERMINAL.has(task.status) ? "unread" : "left", "+"]);
    const same = task.progress.unchanged_records;
    return sum([total, "rows"], [indexed, "indexed", "="], ...(same ? [[same, "unchanged", "+"]] : []), [skipped - same, "skipped", "+"],
      [rejected, "rejected", "+"],
      [left, TERMINAL.has(task.status) ? "unread" : "left", "+"]);
  }

  pace(task) {
    const left = remaining(task);
    const {removed_records: removed} = task.progress;
    const {namespace_dropped: dropped, why_not_dropped: why} = task.result ?? {};
    const how = dropped ? " with their namespace" : why ? ` by their ids (the namespace stays: ${why})` : "";
    const told = [share(task), removed > 0 && `${plural(removed, "vector")} removed${how}`, this.paces.words(task), left > 0 && `${duration(left)} left`];
    return h("p", {class: "quiet"}, told.filter(Boolean).join(" · "));
  }

  family(task) {
    const parent = task.metadata.parent_task_id;
    if (!parent && !this.retries?.length) return null;
    return h("section", {key: "family"}, h("h2", {}, "Retries"),
      parent && h("p", {}, "It tries rejected rows of ", h("a", {href: to("task", parent)}, parent), " again."),
      this.retries?.length > 0 && h("ul", {}, this.retries.map((each) => h("li", {key: each.task_id},
        h("a", {href: to("task", each.task_id)}, each.task_id), ` ${WORDS[each.status]}, `, share(each) || "not begun"))));
  }
}

customElements.define("vl-task", Task);
