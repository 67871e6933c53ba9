// The options of a load as fields, with the API's own words: what each means, and what is wrong with it.

import {ApiError, ask, fieldProblems} from "./api.js";
import {Part, h} from "./dom.js";
import {allowed, ownNamespaces, session} from "./session.js";

const CHECK_MS = 450;
// An upload that nobody has: all else is checked before it is looked for.
const NOBODYS = "00000000-0000-0000-0000-000000000000";
const LISTS = new Set(["metadata_columns", "exclude_columns", "null_values", "column_types"]);
const NUMBERS = new Set(["question_id", "skip_lines", "chunk_size"]);

const GROUPS = [
  ["Where it goes", ["question_id", "namespace", "mode", "priority"]],
  ["Columns", ["id_column", "text_column", "text_template", "metadata_columns", "exclude_columns", "column_types", "null_values"]],
  ["How the file is read", ["delimiter", "encoding", "quoting", "header", "skip_lines", "on_ragged", "chunk_size"]],
  ["Texts and ids", ["sanitizer", "metadata", "store_text", "on_duplicate", "on_long_text", "on_bad_id"]],
  ["Dates", ["start_date", "end_date", "date_column", "date_order", "time_zone"]],
];
const LABELS = {
  question_id: "Question", id_column: "Column of the id", text_column: "Column of the text", text_template: "Text from columns",
  on_ragged: "Rows with too few cells", chunk_size: "Rows a chunk", metadata: "Metadata", store_text: "Copy of the text",
  on_duplicate: "An id twice", on_long_text: "Texts that are too long", on_bad_id: "Ids that are refused", null_values: "No value",
};
const CHOICES = {
  mode: ["upsert", "mirror", "force"], priority: ["low", "normal", "high"], delimiter: [",", ";", "|", "\t"],
  quoting: ["auto", "csv", "none", "backslash"], header: ["first", "none"], on_ragged: ["reject", "pad"],
  sanitizer: ["clean", "legacy", "none"], metadata: ["typed", "legacy"], store_text: ["fit", "none"], on_duplicate: ["first", "fail"],
  on_long_text: ["reject", "truncate"], on_bad_id: ["reject", "escape"], date_order: ["auto", "ymd", "mdy", "dmy"],
};

const label = (name) => LABELS[name] || name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

/** The options as the API takes them; what is empty is left to its defaults. */
export function request(values) {
  const asked = {};
  for (const [name, text] of Object.entries(values)) {
    if (text === "" || text === undefined) continue;
    if (LISTS.has(name)) asked[name] = text.split("\n").filter((line) => line.trim());
    else asked[name] = NUMBERS.has(name) ? Number(text) : text;
  }
  return asked;
}

/** What can be seen to be wrong without asking: a number that is none. */
function ownProblems(values) {
  const found = {};
  for (const name of NUMBERS) {
    if (values[name] && !/^\d{1,9}$/.test(values[name])) found[name] = "A whole number, 0 or more.";
  }
  return found;
}

let told = null;

/** The fields' descriptions, from the API's own. */
async function descriptions() {
  if (!told) {
    const document_ = await ask("openapi.json");
    told = Object.fromEntries(Object.entries(document_.components.schemas.ProcessRequest?.properties || {})
      .map(([name, each]) => [name, each.description || ""]));
  }
  return told;
}

class Options extends Part {
  begin() {
    this.values = {};
    this.problems = {};
    this.touched = new Set();
    this.words = {};
    descriptions().then((words) => {
      this.words = words;
      this.refresh();
    }).catch(() => {});
  }

  view() {
    return [h("form", {class: "options", onsubmit: (event) => event.preventDefault()},
      this.general && h("p", {class: "problem", role: "alert"}, this.general),
      GROUPS.map(([name, fields], number) => (number
        ? h("details", {key: name}, h("summary", {}, name, this.set(fields)), h("div", {class: "fields"}, fields.map((each) => this.field(each))))
        : h("div", {class: "fields", key: name}, fields.map((each) => this.field(each)))))),
    ];
  }

  set(fields) {
    const bad = fields.filter((each) => this.problem(each)).length;
    const given = fields.filter((each) => this.values[each]).length;
    return [given ? h("span", {class: "number"}, `${given} set`) : null, bad ? h("span", {class: "bad"}, ` ${bad} wrong`) : null];
  }

  problem(name) {
    return this.touched.has(name) || this.told?.problems?.[name] ? this.told?.problems?.[name] || this.problems[name] : "";
  }

  field(name) {
    const id = `option-${name}`;
    const problem = this.problem(name);
    const given = {
      id, name, "aria-describedby": `${id}-hint`, "aria-invalid": problem ? "true" : null,
      onchange: (event) => this.change(name, event.target.value),
      oninput: (event) => this.change(name, event.target.value),
    };
    const value = this.values[name] || "";
    let control;
    if (CHOICES[name]) {
      control = h("select", given, ["", ...CHOICES[name]].map((each) =>
        h("option", {value: each, selected: value === each}, each === "" ? "default" : each === "\t" ? "tab" : each)));
    } else if (LISTS.has(name)) {
      control = h("textarea", {...given, rows: 2, value, placeholder: "one a line"});
    } else {
      control = h("input", {
        ...given, value, autocomplete: "off", spellcheck: "false", type: name.endsWith("_date") ? "date" : "text",
        inputmode: NUMBERS.has(name) ? "numeric" : null, list: name === "namespace" && !session.who.every_namespace ? "own-namespaces" : null,
      });
    }
    return h("div", {class: "field", key: name}, h("label", {for: id}, label(name)), control,
      name === "namespace" && h("datalist", {id: "own-namespaces"}, ownNamespaces()),
      h("span", {id: `${id}-hint`, class: problem ? "problem" : "hint quiet"}, problem || this.words[name] || ""));
  }

  change(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    this.touched.add(name);
    this.told?.changed?.();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), CHECK_MS);
  }

  /** Let the API look at the options, and at nothing else. */
  async check() {
    const number = this.checks = (this.checks || 0) + 1;
    const problems = ownProblems(this.values);
    let general = "";
    if (this.values.namespace && !allowed(this.values.namespace)) {
      problems.namespace = "This key may not use it.";
    }
    if (!Object.keys(problems).length) {
      try {
        await ask("estimate", {method: "POST", body: {...request(this.values), data_source: "upload", upload_id: NOBODYS}, signal: this.ends.signal});
      } catch (error) {
        if (error instanceof ApiError && error.status === 400) {
          Object.assign(problems, fieldProblems(error));
        } else if (error.reason === "NOT_ALLOWED") {
          general = error.message;
        }
      }
    }
    if (number !== this.checks) return;
    this.problems = problems;
    this.general = general;
    this.refresh();
  }
}

customElements.define("vl-options", Options);
