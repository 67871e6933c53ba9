// Builds a metadata filter: conditions on columns, all of which hold.

import {Part, h} from "./dom.js";

const OPERATORS = {
  number: [["$eq", "="], ["$ne", "≠"], ["$lt", "<"], ["$lte", "≤"], ["$gt", ">"], ["$gte", "≥"]],
  string: [["$eq", "is"], ["$ne", "is not"], ["$in", "is one of"], ["$nin", "is none of"]],
  boolean: [["$eq", "is"]],
  list: [["$in", "has one of"], ["$nin", "has none of"]],
};
const MANY = new Set(["$in", "$nin"]);

function kind(type = "string") {
  if (type.startsWith("list")) return "list";
  if (type === "timestamp") return "number";
  return type in OPERATORS ? type : "string";
}

/** A filter as conditions; null where it is more than that. */
function conditions(filter, columns) {
  if (!filter) return [];
  const found = [];
  for (const part of filter.$and || [filter]) {
    const entries = Object.entries(part);
    if (entries.length !== 1) return null;
    const [column, test] = entries[0];
    const [[operator, value], ...rest] = Object.entries(Object(test));
    if (rest.length || column.startsWith("$") || !operator.startsWith("$")) return null;
    const type = columns.find((each) => each.name === column)?.type || typeof (Array.isArray(value) ? value[0] : value);
    found.push({column, type: kind(type), operator, text: Array.isArray(value) ? value.join(", ") : String(value)});
  }
  return found;
}

function value({type, operator, text}) {
  const one = (each) => {
    if (type === "number") return Number(each);
    return type === "boolean" ? each === "true" : each;
  };
  return MANY.has(operator) ? text.split(",").map((each) => one(each.trim())).filter((each) => each !== "") : one(text.trim());
}

class Conditions extends Part {
  begin() {
    this.rows = conditions(this.told.filter, this.told.columns);
  }

  view() {
    const {columns, filter} = this.told;
    if (!this.rows) {
      return [h("p", {class: "quiet"}, "The filter is more than conditions that all hold: ", h("code", {}, JSON.stringify(filter)), " ",
        h("button", {type: "button", class: "plain", onclick: () => this.drop()}, "Drop it"))];
    }
    return [h("fieldset", {class: "conditions"}, h("legend", {class: "quiet"}, "Filter"),
      this.rows.map((row, number) => this.row(row, number, columns)),
      h("button", {type: "button", class: "plain", disabled: !columns.length, onclick: () => this.add()}, "Add a condition"),
      !columns.length && h("span", {class: "quiet"}, "Columns are known after a search, or by namespace and question."))];
  }

  row(row, number, columns) {
    const names = columns.some((each) => each.name === row.column) ? columns : [{name: row.column, type: row.type}, ...columns];
    const change = (changes) => (event) => this.change(number, changes(event.target.value));
    const bad = row.type === "number" && row.text && !row.text.split(MANY.has(row.operator) ? "," : "\n").every((each) => each.trim() && Number.isFinite(Number(each)));
    return h("div", {class: "condition", key: number},
      h("select", {"aria-label": "Column", onchange: change((column) => {
        const type = kind(names.find((each) => each.name === column).type);
        return {column, type, operator: OPERATORS[type][0][0], text: type === "boolean" ? "true" : row.text};
      })}, names.map((each) => h("option", {value: each.name, selected: each.name === row.column}, `${each.name.slice(0, 60)} (${kind(each.type)})`))),
      h("select", {"aria-label": "Comparison", onchange: change((operator) => ({operator}))},
        OPERATORS[row.type].map(([operator, name]) => h("option", {value: operator, selected: operator === row.operator}, name))),
      row.type === "boolean"
        ? h("select", {"aria-label": "Value", onchange: change((text) => ({text}))}, ["true", "false"].map((each) => h("option", {value: each, selected: each === row.text}, each)))
        : h("input", {
          "aria-label": "Value", value: row.text, "aria-invalid": bad ? "true" : null, autocomplete: "off", spellcheck: "false",
          inputmode: row.type === "number" ? "decimal" : null, placeholder: MANY.has(row.operator) ? "one, other" : "", oninput: change((text) => ({text})),
        }),
      h("button", {type: "button", class: "plain", "aria-label": `Remove the condition on ${row.column.slice(0, 60)}`, onclick: () => this.remove_(number)}, "Remove"),
      bad && h("span", {class: "problem"}, "A number."));
  }

  add() {
    const [first] = this.told.columns;
    const type = kind(first.type);
    this.rows.push({column: first.name, type, operator: OPERATORS[type][0][0], text: type === "boolean" ? "true" : ""});
    this.tell();
  }

  change(number, changes) {
    Object.assign(this.rows[number], changes);
    this.tell();
  }

  remove_(number) {
    this.rows.splice(number, 1);
    this.tell();
  }

  drop() {
    this.rows = [];
    this.tell();
  }

  tell() {
    const good = this.rows.filter((row) => row.text.trim() !== "" && !(row.type === "number" && [value(row)].flat().some(Number.isNaN)));
    const parts = good.map((row) => ({[row.column]: {[row.operator]: value(row)}}));
    this.told.changed(parts.length > 1 ? {$and: parts} : parts[0] || null);
    this.refresh();
  }
}

customElements.define("vl-conditions", Conditions);
