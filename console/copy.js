// A load as others would ask for it: with curl, the command, and Python. The key is never in it.

import {address} from "./api.js";
import {Part, announce, h} from "./dom.js";

const FORMS = ["curl", "CLI", "Python"];

const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

export function curl(method, path, body) {
  const data = body === undefined ? "" : ` \\\n  -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`;
  return `curl -sS -X ${method} -H "X-API-Key: $API_KEY" "${address(path)}"${data}`;
}

// Names on the command line that are not those of the fields.
const FLAGS = {null_values: "null", column_types: "column-type"};
const JOINED = new Set(["metadata_columns", "exclude_columns"]);

function command(parameters) {
  const {data_source: kind, s3_key: key, upload_id: upload, ...rest} = parameters;
  let source = `upload:${upload}`;
  if (kind === "metabase" || kind === "local_csv") return "";
  if (kind === "s3_csv") source = key.startsWith("s3://") ? key : `key:${key}`;
  const flags = Object.entries(rest).flatMap(([name, value]) => {
    const flag = `--${FLAGS[name] || name.replaceAll("_", "-")}`;
    if (!Array.isArray(value)) return [`${flag} ${quoted(value)}`];
    return JOINED.has(name) ? [`${flag} ${quoted(value.join(","))}`] : value.map((each) => `${flag} ${quoted(each)}`);
  });
  return ["vectorline process", quoted(source), ...flags].join(" ");
}

function python(parameters) {
  const given = JSON.stringify(parameters, null, 4).replaceAll(/\b(true|false)\b/g, (word) => word[0].toUpperCase() + word.slice(1));
  return `import os, urllib.request, json\n\nload = ${given}\nrequest = urllib.request.Request(\n`
    + `    ${JSON.stringify(address("process"))},\n    data=json.dumps(load).encode(),\n`
    + `    headers={"X-API-Key": os.environ["API_KEY"], "Content-Type": "application/json"},\n)\n`
    + `print(json.load(urllib.request.urlopen(request))["task_id"])`;
}

/** The text in the clipboard, or chosen for who copies by hand where there is none. */
export async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied.");
  } catch {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    announce("Chosen: copy it with the keyboard.");
  }
}

class Copy extends Part {
  begin() {
    this.form = "curl";
  }

  view() {
    const texts = {curl: curl("POST", "process", this.told), CLI: command(this.told), Python: python(this.told)};
    const forms = FORMS.filter((form) => texts[form]);
    const text = texts[this.form] || texts.curl;
    return [h("section", {class: "copy", "aria-labelledby": "parameters"}, h("div", {class: "beside"}, h("h2", {id: "parameters"}, "Load it again"),
      h("span", {class: "buttons", role: "group", "aria-label": "Form"}, forms.map((form) => h("button", {
        type: "button", class: "plain", "aria-pressed": form === this.form ? "true" : "false", key: form, onclick: () => this.choose(form),
      }, form)), h("button", {type: "button", onclick: () => copy(text, this.querySelector("pre"))}, "Copy"))),
    h("pre", {tabindex: "0", "aria-label": `The load as ${this.form}`}, text))];
  }

  choose(form) {
    this.form = form;
    this.refresh();
  }
}

customElements.define("vl-copy", Copy);
