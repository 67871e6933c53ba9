// Search by meaning, with a filter that is built from the columns' types.

import {ask, fieldProblems} from "./api.js";
import {copy, curl} from "./copy.js";
import {Part, announce, h, said} from "./dom.js";
import {metadata, typeOf} from "./estimate.js";
import {count, plural, time} from "./format.js";
import {replace, route, to} from "./route.js";
import {ownNamespaces} from "./session.js";
import "./conditions.js";

// What stands in the metadata of every row and is shown elsewhere, or tells searchers nothing.
const SHOWN = ["text"];
const TEXT_CHARACTERS = 600;

class Search extends Part {
  begin() {
    const {query} = route();
    this.given = {
      text: query.get("text") || "", namespace: query.get("namespace") || "", question: query.get("question") || "",
      top_k: query.get("top_k") || "10",
    };
    this.filter = parsed(query.get("filter"));
    if (this.given.text) this.search();
    else this.learn();
  }

  view() {
    const {text, namespace, question, top_k: top} = this.given;
    const fields = fieldProblems(this.problem);
    const field = (name, label, value, more) => h("label", {class: "field"}, h("span", {}, label), h("input", {
      name, value, autocomplete: "off", spellcheck: "false", "aria-invalid": fields[name] ? "true" : null,
      oninput: (event) => this.set(name, event.target.value), ...more,
    }), fields[name] && h("span", {class: "problem"}, fields[name]));
    return [
      h("h1", {}, "Search"),
      h("form", {class: "search", role: "search", onsubmit: (event) => this.submit(event)},
        h("label", {class: "field whole"}, h("span", {}, "Text"), h("textarea", {
          name: "text", rows: 2, value: text, required: true, placeholder: "what to look for, in your own words",
          oninput: (event) => this.set("text", event.target.value), onkeydown: (event) => this.enter(event),
        }), fields.text && h("span", {class: "problem"}, fields.text)),
        h("div", {class: "fields"},
          field("namespace", "Namespace", namespace, {placeholder: "default", list: "namespaces", onchange: () => this.learn()}),
          h("datalist", {id: "namespaces"}, ownNamespaces()),
          field("question", "Columns of question", question, {inputmode: "numeric", placeholder: "e.g. 232", onchange: () => this.learn()}),
          field("top_k", "Results", top, {inputmode: "numeric"})),
        h("vl-conditions", {data: {columns: this.columns || [], filter: this.filter, changed: (filter) => this.setFilter(filter)}}),
        h("p", {class: "buttons deeds"}, h("button", {key: "search", class: "main", disabled: Boolean(this.asking)}, this.asking ? "Searching …" : "Search"),
          h("button", {type: "button", onclick: () => copy(this.curl(), this.querySelector(".query"))}, "Copy as curl"))),
      this.problem && !this.problem.fields?.length && h("p", {class: "notice", role: "alert"}, said(this.problem.message)),
      this.results(),
      text && h("details", {key: "query"}, h("summary", {}, "The query as curl"), h("pre", {class: "query", tabindex: "0"}, this.curl())),
    ];
  }

  results() {
    const {found} = this;
    if (!found) return null;
    return h("section", {key: "results", "aria-label": "Results"},
      h("p", {class: "quiet", role: "status"}, `${plural(found.matches.length, "result")} in ${count(found.took)} ms, read at `, time(found.at)),
      !found.matches.length && h("p", {class: "calm"}, "Nothing there. The namespace may be empty, or the filter lets nothing pass."),
      h("ol", {class: "matches"}, found.matches.map((match) => h("li", {key: match.id},
        h("p", {class: "beside"}, h("code", {}, said(match.id)), h("span", {class: "score"}, match.score.toFixed(3)),
          match.metadata?.task_id && h("a", {class: "quiet", href: to("task", match.metadata.task_id)}, "its task")),
        h("p", {class: "long"}, said(String(match.metadata?.text ?? "").slice(0, TEXT_CHARACTERS))),
        h("details", {}, h("summary", {}, plural(Object.keys(match.metadata || {}).length, "value")), metadata(match.metadata, SHOWN))))));
  }

  set(name, value) {
    this.given[name] = value;
    this.refresh();
  }

  setFilter(filter) {
    this.filter = filter;
    this.refresh();
  }

  enter(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      event.target.form.requestSubmit();
    }
  }

  submit(event) {
    event.preventDefault();
    const {text, namespace, question, top_k: top} = this.given;
    const filter = this.filter && JSON.stringify(this.filter);
    replace(to("search", "", {text, namespace, question, top_k: top === "10" ? "" : top, filter}));
    this.search();
  }

  body() {
    const {text, namespace, top_k: top} = this.given;
    return {text, ...(namespace && {namespace}), top_k: Number(top) || 10, ...(this.filter && {filter: this.filter})};
  }

  curl() {
    return curl("POST", "search", this.body());
  }

  async search() {
    this.asking?.abort();
    const asking = this.asking = new AbortController();
    this.problem = null;
    this.refresh();
    const began = performance.now();
    try {
      const {matches = []} = await ask("search", {method: "POST", body: this.body(), signal: asking.signal});
      this.found = {matches, took: performance.now() - began, at: new Date().toISOString()};
      announce(`${plural(matches.length, "result")}.`);
      this.learn();
    } catch (error) {
      if (asking.signal.aborted) return;
      this.problem = error;
      this.found = null;
    }
    this.asking = null;
    this.refresh();
  }

  /** Which columns there are: those of the last load of the question, else those of the results. */
  async learn() {
    const columns = new Map();
    for (const match of this.found?.matches || []) {
      for (const [name, value] of Object.entries(match.metadata || {})) {
        if (!SHOWN.includes(name)) columns.set(name, typeOf(value));
      }
    }
    const {namespace, question} = this.given;
    if (namespace && /^\d+$/.test(question)) {
      try {
        const told = await ask("columns", {query: {namespace, question_id: question}, signal: this.ends.signal});
        for (const each of told.columns || []) columns.set(each.name, each.type);
      } catch {
        // The results' own columns remain.
      }
    }
    this.columns = [...columns].map(([name, type]) => ({name, type})).sort((one, other) => one.name.localeCompare(other.name));
    this.refresh();
  }
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

customElements.define("vl-search", Search);
