// What is known of a task beside its counts: what was found out about its file, its stages, its bill, its parameters.

import {cost} from "./bar.js";
import {h, said} from "./dom.js";
import {bytes, count, dollars, duration, seconds, time} from "./format.js";
import "./copy.js";

export function warnings(task) {
  const found = task.warnings || [];
  if (!found.length) return null;
  return h("section", {key: "warnings", "aria-labelledby": "warned"}, h("h2", {id: "warned"}, "Warnings"),
    h("ul", {class: "warned"}, found.map((each) => h("li", {}, h("code", {}, each.code), " ", said(each.message)))));
}

const DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"};

export function detected(task) {
  const {metadata} = task;
  const columns = metadata.columns || [];
  const facts = [
    ["Encoding", metadata.encoding && `${metadata.encoding}${metadata.encoding_guessed ? " (guessed)" : ""}`],
    ["Delimiter", DELIMITERS[metadata.delimiter] || metadata.delimiter],
    ["Quoting", metadata.quoting],
    ["Size", metadata.source_bytes !== undefined && bytes(metadata.source_bytes)],
    ["Model", metadata.model],
    ["Key", metadata.client],
    ["Stored", time(metadata.created_at)],
    ["Columns", columns.length > 0 && [count(columns.length), ": ", columns.slice(0, 40).map((name, at) => [at ? ", " : "", said(name)]),
      columns.length > 40 ? " …" : ""]],
  ].filter(([, value]) => value);
  return h("section", {"aria-labelledby": "found"}, h("h2", {id: "found"}, "Found out"),
    h("dl", {class: "facts"}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

/** Where the time went, as one bar: it waited, was scanned, was loaded. */
export function stages(task, now) {
  const end = task.completed_at || now;
  const {created_at: stored} = task.metadata;
  const marks = [["waiting", stored, task.started_at], ["scan", task.started_at, task.scanned_at], ["loading", task.scanned_at, null]];
  const spans = marks.filter(([, from]) => from).map(([name, from, till]) => [name, Math.max(0, seconds(from, till || end))]);
  const total = spans.reduce((sum, [, took]) => sum + took, 0);
  if (!total) return null;
  const words = spans.map(([name, took]) => `${name} ${duration(took)}`).join(", ");
  return h("section", {"aria-labelledby": "time"},
    h("div", {class: "beside"}, h("h2", {id: "time"}, "Time"), h("p", {class: "quiet"}, duration(total), task.completed_at ? "" : " so far")),
    h("span", {class: "bar stages", role: "img", "aria-label": words},
      spans.map(([name, took]) => took > 0 && h("span", {class: `piece ${name}`, style: {"flex-grow": took * 1000}, title: `${name} ${duration(took)}`, key: name}))),
    h("p", {class: "legend"}, spans.map(([name, took]) => h("span", {}, h("i", {class: `piece ${name}`}), `${name} ${duration(took)}`))));
}

const LINES = [
  ["tokens", "Tokens", count], ["openai_dollars", "OpenAI", dollars], ["write_units", "Write units", count], ["read_units", "Read units", count],
  ["pinecone_dollars", "Pinecone", dollars], ["texts_bought", "Texts bought", count], ["texts_reused", "Texts reused", count],
];

/** What it cost; nothing where the API tells nothing. */
export function bill(told) {
  const found = told.bill;
  if (!found) return null;
  const whole = cost(found);
  return h("section", {key: "bill", "aria-labelledby": "bill"},
    h("div", {class: "beside"}, h("h2", {id: "bill"}, "Bill"), whole !== undefined && h("p", {class: "quiet"}, dollars(whole))),
    h("dl", {class: "facts"}, LINES.filter(([name]) => Number.isFinite(found[name])).map(([name, label, words]) =>
      [h("dt", {}, label), h("dd", {}, words(found[name]))])));
}

export function copies(task) {
  return h("vl-copy", {data: task.metadata.parameters || {}});
}
