// What to do with chosen tasks: retry or cancel, with what would come of it said first.

import {ask, fetched, follow} from "./api.js";
import {parts} from "./bar.js";
import {Part, announce, h, said} from "./dom.js";
import {asked} from "./filters.js";
import {TERMINAL, count, plural} from "./format.js";
import {route, to} from "./route.js";
import {may} from "./session.js";

// One call takes so many tasks.
const MOST = 1_000;
const PAGE = 200;

function retry(taskIds, all, dryRun) {
  return ask("tasks:retry", {method: "POST", body: {task_ids: taskIds, all, dry_run: dryRun}});
}

class Selection extends Part {
  view() {
    const {chosen, total} = this.told;
    const count_ = chosen.size;
    return [
      count_ > 0 && h("section", {class: "chosen", "aria-label": "Chosen tasks"},
        h("p", {role: "status"}, `${plural(count_, "task")} chosen`),
        total > count_ && count_ < MOST && h("button", {type: "button", key: "all", class: "plain", disabled: Boolean(this.gathering), onclick: () => this.all()},
          this.gathering ? "Choosing …" : total > MOST ? `Choose the newest ${count(MOST)}` : `Choose all ${count(total)} of the filter`),
        may("ingest") && h("button", {type: "button", key: "retry", onclick: () => this.open("retry")}, "Retry …"),
        may("ingest") && h("button", {type: "button", key: "cancel", onclick: () => this.open("cancel")}, "Cancel …"),
        h("button", {type: "button", key: "none", class: "plain", onclick: () => this.clear()}, "Choose none")),
      h("dialog", {"aria-labelledby": "deed", onclose: () => this.closed()}, this.plan && this.dialog()),
    ];
  }

  clear() {
    this.told.chosen.clear();
    this.told.changed();
    this.refresh();
  }

  /** Every task of the filter, page by page. */
  async all() {
    this.gathering = true;
    this.refresh();
    const {query} = route();
    try {
      for (let page = 1; this.told.chosen.size < MOST; page += 1) {
        let last = true;
        await follow("tasks:watch", {
          query: {...asked(query), page, page_size: PAGE}, signal: this.ends.signal,
          each: (view) => {
            for (const task of view.tasks) {
              if (this.told.chosen.size < MOST) this.told.chosen.set(task.task_id, task);
            }
            last = view.tasks.length < PAGE;
            return true;
          },
        });
        if (last) break;
      }
    } finally {
      this.gathering = false;
      this.told.changed();
      this.refresh();
    }
  }

  async open(deed) {
    this.plan = {deed, all: false};
    this.show();
    this.querySelector("dialog").showModal();
    await this.look();
  }

  closed() {
    this.plan = null;
    this.refresh();
  }

  /** The dry run. */
  async look() {
    const plan = this.plan;
    plan.outlook = plan.problem = null;
    const chosen = [...this.told.chosen.values()];
    if (plan.deed === "cancel") {
      const open = chosen.filter((task) => !TERMINAL.has(task.status));
      plan.outlook = {
        takes: open.map((task) => task.task_id), rest: chosen.length - open.length,
        rows: open.reduce((sum, task) => sum + parts(task).left, 0),
      };
    } else {
      try {
        plan.outlook = await retry(chosen.map((task) => task.task_id), plan.all, true);
      } catch (error) {
        plan.problem = error.message;
      }
    }
    this.refresh();
  }

  dialog() {
    const {deed, outlook, problem, done, going} = this.plan;
    const takes = deed === "retry" ? outlook?.retried : outlook?.takes.length;
    const name = deed === "retry" ? "Retry" : "Cancel";
    return [
      h("h2", {id: "deed"}, done ? (deed === "retry" ? "Retried" : "Cancelled") : `${name} ${plural(this.told.chosen.size, "task")}?`),
      problem && h("p", {class: "problem", role: "alert"}, problem),
      !outlook && !problem && h("p", {class: "quiet"}, "Asking what would come of it …"),
      outlook && !done && (deed === "retry" ? this.outlook(outlook) : this.stops(outlook)),
      done && this.came(done),
      deed === "retry" && !done && h("label", {class: "choice"}, h("input", {
        type: "checkbox", checked: this.plan.all, disabled: Boolean(going),
        onchange: (event) => {
          this.plan.all = event.target.checked;
          this.look();
        },
      }), " All rejected rows, also those that were rejected for what stands in them"),
      h("div", {class: "buttons"},
        h("button", {type: "button", key: "back", class: "plain", onclick: () => this.querySelector("dialog").close()}, done ? "Close" : "Back"),
        !done && h("button", {type: "button", key: "act", class: "main", disabled: !takes || Boolean(going), onclick: () => this.act()},
          going ? going : `${name} ${plural(takes || 0, "task")}`)),
    ];
  }

  outlook({retried, rows, matched, refused = {}}) {
    const others = this.told.chosen.size - matched;
    return h("ul", {class: "outlook"},
      h("li", {}, h("strong", {}, plural(retried, "task")), ` would be tried again, over ${plural(rows, "rejected row")}. Blocked ones go on.`),
      Object.entries(refused).map(([reason, tasks]) => h("li", {key: reason}, `${plural(tasks, "task")} left as it is: `, h("code", {}, reason))),
      others > 0 && h("li", {key: "others"}, `${plural(others, "task")} without anything to try again: open, or completed.`));
  }

  stops({takes, rest, rows}) {
    return h("ul", {class: "outlook"},
      h("li", {}, h("strong", {}, plural(takes.length, "task")), ` would stop, with ${plural(rows, "row")} not loaded. What is indexed stays.`),
      rest > 0 && h("li", {}, `${plural(rest, "task")} over already, left as it is.`));
  }

  came({tasks, failures}) {
    return h("div", {},
      h("p", {role: "status"}, `${plural(tasks.length, "task")} ${this.plan.deed === "retry" ? "tried again" : "stopped"}.`),
      h("ul", {class: "outlook"},
        tasks.slice(0, 20).map((id) => h("li", {key: id}, h("a", {href: to("task", id)}, id))),
        tasks.length > 20 && h("li", {}, `and ${count(tasks.length - 20)} more`),
        failures.slice(0, 20).map(([id, why]) => h("li", {key: `no ${id}`, class: "bad"}, id, ": ", said(why)))));
  }

  async act() {
    const plan = this.plan;
    plan.going = "Asked …";
    this.refresh();
    try {
      plan.done = plan.deed === "retry" ? await this.retryAll(plan) : await this.cancelAll(plan);
      announce(`${plural(plan.done.tasks.length, "task")} done.`);
      this.told.chosen.clear();
      this.told.changed();
    } catch (error) {
      plan.problem = error.message;
    }
    plan.going = "";
    this.refresh();
  }

  async retryAll(plan) {
    const came = await retry([...this.told.chosen.keys()], plan.all, false);
    const made = came.tasks.filter((each) => !each.reason).map((each) => each.retry_task_id || each.task_id);
    return {tasks: made, failures: []};
  }

  async cancelAll(plan) {
    const came = {tasks: [], failures: []};
    const taskIds = plan.outlook.takes;
    for (const [number, id] of taskIds.entries()) {
      plan.going = `${count(number + 1)} of ${count(taskIds.length)}`;
      this.refresh();
      try {
        await fetched(`task/${encodeURIComponent(id)}`, {method: "DELETE"});
        came.tasks.push(id);
      } catch (error) {
        came.failures.push([id, error.message]);
      }
    }
    return came;
  }
}

customElements.define("vl-selection", Selection);
