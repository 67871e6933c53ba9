// The rows that were not indexed: by reason, with samples, a search over all of them, and as a file.

import {fetched, lines, pieces} from "./api.js";
import {Part, announce, h, said} from "./dom.js";
import {bytes, count, percent, plural} from "./format.js";

// Read until so many samples of each known reason, or so many lines, are there.
const SAMPLES = 3;
const LOOKED_AT = 2_000;
const FOUND = 100;
const OURS = new Set(["row_number", "line_number", "reason", "message", "line_text"]);
const KEPT = 300;

class Rejects extends Part {
  begin() {
    this.text = "";
    this.skipped = false;
  }

  view() {
    const {task, rows, over} = this.told;
    const {skipped_records: skipped} = task.progress;
    if (!rows && !skipped) return [];
    const reasons = Object.entries(task.result?.failed_by_reason || {}).sort((one, other) => other[1] - one[1]);
    return [h("section", {class: "rejects", "aria-labelledby": "rejects"},
      h("div", {class: "beside"}, h("h2", {id: "rejects"}, "Rejected rows", h("span", {class: "number"}, count(rows))),
        h("span", {class: "buttons"}, this.saving ? h("span", {class: "quiet", role: "status"}, this.saving) : null,
          h("button", {type: "button", disabled: Boolean(this.saving), onclick: () => this.save("csv")}, "Download CSV"),
          h("button", {type: "button", class: "plain", disabled: Boolean(this.saving), onclick: () => this.save("jsonl")}, "JSON lines"))),
      rows > 0 && !over && h("p", {class: "quiet"}, "Reasons are counted when the task is over; the rows can be read now."),
      reasons.length > 0 && h("ul", {class: "reasons"}, reasons.map(([reason, number]) => this.reason(reason, number, rows))),
      h("form", {class: "fields", onsubmit: (event) => this.search(event)},
        h("label", {class: "field wide"}, h("span", {}, "Search the rejects"),
          h("input", {type: "search", name: "text", value: this.text, placeholder: "id, reason, or what a cell has", autocomplete: "off"})),
        skipped > 0 && h("label", {class: "choice"}, h("input", {
          type: "checkbox", checked: this.skipped, onchange: (event) => {
            this.skipped = event.target.checked;
            this.found = null;
            this.refresh();
          },
        }), ` with the ${plural(skipped, "skipped row")}`),
        h("button", {}, this.found ? "Search" : "Show")),
      this.problem && h("p", {class: "problem", role: "alert"}, this.problem),
      this.found && this.table())];
  }

  reason(reason, number, rows) {
    return h("li", {key: reason},
      h("button", {type: "button", class: "plain", onclick: () => this.look(reason)}, reason),
      h("span", {class: "bar thin", "aria-hidden": "true"}, h("span", {class: "piece rejected", style: {"flex-grow": number}}),
        h("span", {class: "piece none", style: {"flex-grow": Math.max(0, rows - number)}})),
      h("span", {class: "quiet"}, `${count(number)}, ${percent(number / Math.max(1, rows))}`));
  }

  search(event) {
    event.preventDefault();
    this.look(event.target.elements.text.value.trim());
  }

  /** Read the rejects until enough are found; with no text, until there are samples of each reason. */
  async look(text) {
    this.reading?.abort();
    this.reading = new AbortController();
    this.text = text;
    this.problem = "";
    const found = this.found = {rows: [], read: 0, whole: false, busy: true};
    const perReason = new Map();
    const wanted = text.toLowerCase();
    try {
      for await (const line of this.rows(this.reading.signal)) {
        found.read += 1;
        const row = JSON.parse(line);
        const seen = perReason.get(row.reason) || 0;
        const fits = wanted ? line.toLowerCase().includes(wanted) || Object.values(row).some((value) => String(value).toLowerCase().includes(wanted)) : seen < SAMPLES;
        if (fits) {
          perReason.set(row.reason, seen + 1);
          found.rows.push(row);
        }
        if (found.read % 500 === 0) this.refresh();
        if (found.rows.length >= FOUND || (!wanted && found.read >= LOOKED_AT)) break;
      }
      found.whole = found.rows.length < FOUND && !(!wanted && found.read >= LOOKED_AT);
    } catch (error) {
      if (!this.reading.signal.aborted) this.problem = error.message;
    }
    found.busy = false;
    if (this.found === found) announce(`${plural(found.rows.length, "row")} shown.`);
    this.refresh();
  }

  /** All of them, as a file. */
  file(format, signal) {
    const query = {format, include: this.skipped ? "skipped" : ""};
    return fetched(`status/${encodeURIComponent(this.told.task.task_id)}/rejects`, {query, signal});
  }

  async* rows(signal) {
    for await (const line of lines(await this.file("jsonl", signal))) if (line) yield line;
  }

  table() {
    const {rows, read, whole, busy} = this.found;
    const told = `${plural(rows.length, "row")} of ${count(read)} read${busy ? " …" : ""}${whole || busy ? "" : "; there may be more"}`;
    return [
      h("p", {class: "quiet", role: "status"}, this.text ? ["With ", said(this.text), ": "] : `Samples, ${SAMPLES} of each reason: `, told),
      rows.length > 0 && h("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Rejected rows"}, h("table", {},
        h("thead", {}, h("tr", {}, ["Row", "Reason", "Why", "Cells"].map((name) => h("th", {scope: "col", class: name === "Row" ? "figure" : null}, name)))),
        h("tbody", {}, rows.map((row, number) => h("tr", {key: number},
          h("td", {class: "figure"}, count(row.row_number)), h("td", {}, h("code", {}, row.reason)), h("td", {}, said(row.message)),
          h("td", {class: "cells"}, said(cells(row)))))))),
    ];
  }

  async save(format) {
    const {task} = this.told;
    this.saving = "Asking …";
    this.problem = "";
    this.refresh();
    try {
      const answer = await this.file(format, this.ends.signal);
      const got = [];
      let size = 0;
      for await (const part of pieces(answer.body)) {
        got.push(part);
        size += part.length;
        this.saving = bytes(size);
        this.refresh();
      }
      const link = h("a", {href: URL.createObjectURL(new Blob(got)), download: `rejects-${task.task_id}.${format}`});
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      this.problem = error.message;
    }
    this.saving = "";
    this.refresh();
  }
}

/** What the row had, on one line. */
function cells(row) {
  const told = row.line_text || Object.entries(row).filter(([name, value]) => !OURS.has(name) && value !== "")
    .map(([name, value]) => `${name}=${value}`).join("  ");
  return told.length > KEPT ? `${told.slice(0, KEPT)} …` : told;
}

customElements.define("vl-rejects", Rejects);
