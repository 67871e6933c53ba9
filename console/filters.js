// The filters of the tasks, all of them in the address, with how many tasks each status has.

import {Part, h} from "./dom.js";
import {WORDS, count} from "./format.js";
import {changed, replace, route, to} from "./route.js";

const TYPED_MS = 300;
const GROUPS = [
  ["", "All", Object.keys(WORDS)],
  ["open", "Open", ["pending", "queued", "processing", "processing_chunks"]],
  ...["blocked", "completed", "partially_completed", "failed", "cancelled"].map((status) => [status, WORDS[status], [status]]),
];
const SINCE = [["", "Any time"], ["1h", "Last hour"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["31d", "Last 31 days"]];
const FIELDS = [
  {name: "text", label: "Text", type: "search", hint: "source, id, key, error"},
  {name: "namespace", label: "Namespace", type: "text"},
  {name: "question", label: "Question", type: "text", inputmode: "numeric"},
  {name: "reason", label: "Reason", type: "text", hint: "e.g. empty_text"},
];
// What the API calls a field.
const NAMED = {question_id: "question"};

const HOURS = {"1h": 1, "24h": 24, "7d": 168, "31d": 744};

/** The query of the API for what stands in the address. */
export function asked(query) {
  const given = Object.fromEntries(query);
  const hours = HOURS[given.since];
  return {
    status: given.status, namespace: given.namespace, question_id: given.question, reason: given.reason, text: given.text,
    since: hours ? new Date(Date.now() - hours * 3_600_000).toISOString() : given.since,
  };
}

class Filters extends Part {
  view() {
    const {query} = route();
    const {counts, problem} = this.told;
    const problems = Object.fromEntries((problem?.fields || []).map((each) => [NAMED[each.field] || each.field, each.description]));
    const other = problem && !FIELDS.some((field) => problems[field.name]);
    return [h("form", {class: "filters", role: "search", onsubmit: (event) => event.preventDefault()},
      h("div", {class: "states", role: "group", "aria-label": "Status"}, GROUPS.map(([status, name, each]) => h("a", {
        href: changed({status}), "aria-current": (query.get("status") || "") === status ? "true" : null,
      }, name, counts ? h("span", {class: "number"}, count(each.reduce((sum, one) => sum + (counts[one] || 0), 0))) : null))),
      h("div", {class: "fields"}, FIELDS.map((field) => this.field(field, query, problems[field.name])),
        h("label", {class: "field"}, h("span", {}, "Stored"), h("select", {onchange: (event) => this.set("since", event.target.value)},
          SINCE.map(([value, name]) => h("option", {value, selected: (query.get("since") || "") === value}, name)))),
        query.size > 0 && h("a", {href: to("tasks"), class: "clear"}, "Clear")),
      other && h("p", {class: "problem", role: "alert"}, [problem.message, ...Object.values(problems)].join(" ")))];
  }

  field(field, query, problem) {
    const id = `filter-${field.name}`;
    return h("label", {class: "field", for: id}, h("span", {}, field.label),
      h("input", {
        id, type: field.type, name: field.name, value: query.get(field.name) || "", placeholder: field.hint, maxlength: 2_000,
        inputmode: field.inputmode, autocomplete: "off", spellcheck: "false", "aria-invalid": problem ? "true" : null,
        oninput: (event) => this.typed(field.name, event.target),
      }),
      problem && h("span", {class: "problem", role: "alert"}, problem));
  }

  typed(name, input) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.set(name, name === "question" ? input.value.replace(/\D/g, "") : input.value.trim()), TYPED_MS);
  }

  set(name, value) {
    replace(changed({[name]: value}));
  }
}

customElements.define("vl-filters", Filters);
