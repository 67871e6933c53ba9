// The page that stays open: what waits for a person, and the tasks that pass the filter, live.

import {follow} from "./api.js";
import {Paces, bar, cost, remaining, share} from "./bar.js";
import {Part, h, said} from "./dom.js";
import {asked} from "./filters.js";
import {TERMINAL, WORDS, ago, count, dollars, duration, isOpen, plural, short, time} from "./format.js";
import {changed, route, to} from "./route.js";
import "./needs.js";
import "./selection.js";

const PAGE_SIZE = 50;
const byStatusOnly = (query) => [...query.keys()].every((name) => name === "status" || name === "page");

class Tasks extends Part {
  begin() {
    this.paces = new Paces();
    this.chosen = new Map();
    this.every(1_000, () => this.refresh());
    this.hear(document, "visibilitychange", () => this.seen());
    this.listen();
  }

  end() {
    this.stream?.abort();
  }

  toldAnew(before) {
    if (before !== this.told) this.listen();
  }

  // A page that nobody sees holds no connection: a browser has six a host.
  seen() {
    clearTimeout(this.hidden);
    if (document.hidden) this.hidden = setTimeout(() => this.stream?.abort(), 60_000);
    else if (this.stream?.signal.aborted) this.listen();
  }

  async listen() {
    this.stream?.abort();
    this.stream = new AbortController();
    const {signal} = this.stream;
    const {query} = route();
    this.problem = null;
    this.asking = true;
    this.refresh();
    try {
      const given = {...asked(query), page: query.get("page"), page_size: PAGE_SIZE};
      await follow("tasks:watch", {query: given, signal, each: (view) => this.hearView(view)});
    } catch (error) {
      this.problem = error;
      this.refresh();
    }
  }

  hearView(view) {
    this.asking = false;
    // What was counted before is not taken away by a view that is still counting.
    if (view.counting && this.now && !this.now.counting && !view.tasks.length) return false;
    this.now = view;
    for (const task of view.tasks) {
      if (!TERMINAL.has(task.status)) this.paces.note(task);
      if (this.chosen.has(task.task_id)) this.chosen.set(task.task_id, task);
    }
    this.refresh();
    return false;
  }

  view() {
    const now = this.now;
    const {query} = route();
    return [
      h("h1", {class: "unseen"}, "Tasks"),
      h("vl-needs", {data: now}),
      h("section", {"aria-labelledby": "tasks"},
        h("div", {class: "beside"},
          h("h2", {id: "tasks"}, "Tasks"),
          h("p", {class: "quiet read"}, now ? ["Read at ", time(now.timestamp)] : "Reading …")),
        h("vl-filters", {data: {counts: now && (!now.counting || now.listed) ? now.by_status : null, problem: this.problem}}),
        this.list(now),
        this.pages(now, query)),
      h("vl-selection", {data: {chosen: this.chosen, total: now?.counting ? 0 : now?.total || 0, changed: () => this.refresh()}}),
    ];
  }

  list(now) {
    if (this.problem) return null;
    if (!now) return h("p", {class: "quiet"}, "Reading the tasks …");
    if (!now.tasks.length) return this.nothing(now);
    return h("ol", {class: "tasks", "aria-busy": this.asking ? "true" : null},
      h("li", {class: "head", "aria-hidden": "true", key: "head"},
        ["", "Source", "Rows", "Pace", "Cost", "Stored"].map((name) => h("span", {}, name))),
      now.tasks.map((task) => this.row(task)));
  }

  nothing(now) {
    const {query} = route();
    if (now.counting && !(now.listed && byStatusOnly(query))) return this.soFar(now) || h("p", {class: "quiet"}, "Looking through all tasks; the first time takes a moment …");
    if (query.size) {
      return h("p", {class: "calm"}, "No task passes this filter. ", h("a", {href: to("tasks")}, "Show all"), ".");
    }
    return h("p", {class: "calm"}, "There are no tasks yet. ", h("a", {href: to("load")}, "Load a file"), ".");
  }

  row(task) {
    const {metadata} = task;
    const parameters = metadata.parameters || {};
    const name = metadata.source || metadata.task_type || task.task_id;
    const paid = cost(task.bill);
    return h("li", {key: task.task_id, class: `task ${task.status}`},
      h("span", {class: "pick"}, h("input", {
        type: "checkbox", checked: this.chosen.has(task.task_id), "aria-label": `Choose ${name.slice(0, 80)}`,
        onchange: (event) => this.choose(task, event.target.checked),
      })),
      h("span", {class: "source"},
        h("a", {href: to("task", task.task_id), class: "clipped", title: name.slice(0, 300)}, said(name)),
        h("span", {class: "quiet clipped"}, said(metadata.namespace),
          parameters.question_id !== undefined ? ` · question ${parameters.question_id}` : "",
          metadata.client ? [" · ", said(metadata.client)] : "")),
      h("span", {class: "rows"},
        h("span", {class: "beside"}, h("span", {class: "status"}, WORDS[task.status] || task.status), this.counts(task)),
        bar(task)),
      h("span", {class: "pace"}, this.paces.words(task), this.left(task)),
      h("span", {class: "cost"}, paid === undefined ? "" : dollars(paid)),
      h("span", {class: "stored"}, ago(metadata.created_at)));
  }

  counts(task) {
    const {progress} = task;
    if (!progress.total_records) return h("span", {class: "quiet"}, task.error_reason || "");
    const failed = progress.failed_records;
    return h("span", {class: "quiet"},
      isOpen(task.status) ? `${share(task)} of ${short(progress.total_records)}` : plural(progress.total_records, "row"),
      failed ? h("span", {class: "bad"}, `, ${short(failed)} rejected`) : "");
  }

  left(task) {
    if (task.stalled_since) return h("span", {class: "bad", title: task.stalled_reason}, "stands still");
    const left = remaining(task);
    if (left === undefined) return null;
    return h("span", {class: "quiet"}, left > 0 ? `${duration(left)} left` : "about done");
  }

  pages(now, query) {
    if (!now) return null;
    const page = Number(query.get("page")) || 1;
    const last = Math.max(1, Math.ceil(now.total / PAGE_SIZE));
    if (now.counting && !byStatusOnly(query)) return now.tasks.length ? this.soFar(now) : null;
    if ((now.counting && !now.listed) || (last === 1 && page === 1)) return this.cut(now);
    return h("nav", {class: "pages", "aria-label": "Pages of tasks"},
      page > 1 ? h("a", {href: changed({page: page > 2 ? page - 1 : ""}), rel: "prev"}, "Newer") : h("span", {}),
      h("span", {class: "quiet"}, `Page ${count(page)} of ${count(last)}, ${plural(now.total, "task")}`),
      page < last ? h("a", {href: changed({page: page + 1}), rel: "next"}, "Older") : h("span", {}),
      this.cut(now));
  }

  // A filter that needs more than a task's status is answered as far as the service has looked.
  soFar(now) {
    if (!now.listed) return null;
    return h("p", {class: "quiet", role: "status"},
      `${plural(now.total, "task")} found among ${count(now.looked)} of ${count(now.listed)} so far; still looking …`);
  }

  cut(now) {
    return now.truncated ? h("p", {class: "quiet"}, "There are more tasks than these 20,000 newest; the command line lists them all.") : null;
  }

  choose(task, yes) {
    if (yes) this.chosen.set(task.task_id, task);
    else this.chosen.delete(task.task_id);
    this.refresh();
  }
}

customElements.define("vl-tasks", Tasks);

