// The page: who is at it, where they are, and whether the line answers.

import {events, key, link, tryNow} from "./api.js";
import {Part, announce, h, said} from "./dom.js";
import {local} from "./format.js";
import {route, to} from "./route.js";
import {enter, leave, may, session} from "./session.js";
import "./enter.js";
import "./line.js";
import "./load.js";
import "./search.js";
import "./task.js";
import "./tasks.js";

const PAGES = [
  {page: "tasks", name: "Tasks", scope: "read", part: "vl-tasks"},
  {page: "load", name: "Load", scope: "ingest", part: "vl-load"},
  {page: "search", name: "Search", scope: "read", part: "vl-search"},
  {page: "line", name: "Line", scope: "read", part: "vl-line"},
];

class App extends Part {
  begin() {
    this.refused = "";
    this.hear(window, "hashchange", () => this.moved());
    this.hear(events, "refused", (event) => this.refuse(event.detail));
    this.hear(events, "link", () => this.linked());
    this.hear(document, "entered", () => this.moved());
    if (key.get()) this.resume();
  }

  async resume() {
    this.entering = true;
    try {
      await enter(key.get());
      this.refused = "";
    } catch (error) {
      this.refused = error.message;
    }
    this.entering = false;
    this.moved();
  }

  refuse(error) {
    if (this.entering || !session.who) return;
    leave();
    this.refused = `The key is not taken any more. ${error.message}`;
    this.refresh();
  }

  linked() {
    if (Boolean(link.lost) !== this.wasLost) {
      this.wasLost = Boolean(link.lost);
      announce(link.lost ? "The connection to the line is lost." : "The connection to the line is back.");
    }
    this.refresh();
  }

  moved() {
    const here = route();
    const named = PAGES.find((each) => each.page === here.page)?.name;
    document.title = `${named || "Task"} · Vectorline`;
    const place = `${here.page}/${here.id}`;
    this.show();
    if (this.place !== undefined && this.place !== place) {
      window.scrollTo(0, 0);
      this.querySelector("main")?.focus({preventScroll: true});
    }
    if (session.who) this.place = place;
  }

  view() {
    if (this.entering) return [h("p", {class: "quiet centred"}, "Asking who you are …")];
    if (!session.who) return [h("vl-enter", {data: {refused: this.refused}})];
    const here = route();
    const pages = PAGES.filter((each) => may(each.scope));
    return [
      h("a", {class: "skip", href: "#main", onclick: (event) => this.skip(event)}, "Skip to the content"),
      h("header", {class: "top"},
        h("a", {class: "mark", href: to("tasks")}, "Vectorline"),
        h("nav", {"aria-label": "Pages"}, pages.map((each) => h("a", {
          href: to(each.page), "aria-current": each.page === here.page ? "page" : null,
        }, each.name))),
        h("p", {class: "who"}, said(session.who.key_id),
          h("button", {class: "plain", type: "button", onclick: () => this.leave()}, "Leave"))),
      this.lost(),
      h("main", {id: "main", tabindex: "-1"}, this.page(here)),
    ];
  }

  page(here) {
    if (here.page === "task" && may("read")) return h("vl-task", {key: `task ${here.id}`, data: here.id});
    const found = PAGES.find((each) => each.page === here.page);
    if (found && may(found.scope)) return h(found.part, {key: found.page, data: here.query.toString()});
    if (found?.page === "tasks" && may("ingest")) return h("vl-load", {key: "load", data: ""});
    return h("section", {key: "none"}, h("h1", {}, found ? "Not for this key" : "There is no such page"),
      h("p", {}, found ? `This needs a key with the scope ${found.scope}.` : "The address names none of the pages above."));
  }

  lost() {
    if (!link.lost) return null;
    return h("div", {class: "lost", role: "alert", key: "lost"},
      h("p", {}, `The line does not answer since ${local(link.lost)}. ${link.why} What is shown was read before; `
        + "it is asked again by itself."),
      h("button", {type: "button", onclick: tryNow}, "Ask now"));
  }

  skip(event) {
    event.preventDefault();
    this.querySelector("main").focus();
  }

  leave() {
    leave();
    this.refused = "";
    this.refresh();
  }
}

customElements.define("vl-app", App);
