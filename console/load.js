// Loads: a file, a key of S3 or a question of Metabase; what it would come to; then the task.

import {ApiError, ask, fetched, fieldProblems, upload} from "./api.js";
import {Part, announce, h, said} from "./dom.js";
import {bytes, duration, percent} from "./format.js";
import {request} from "./options.js";
import {to} from "./route.js";
import {bounds, may} from "./session.js";
import "./estimate.js";

const KINDS = [["upload", "A file"], ["s3_csv", "From S3"], ["metabase", "From Metabase"], ["local_csv", "A file of the line"]];
const HINTS = {
  s3_csv: ["S3 key", "exports/march.csv, or s3://bucket/key of an allowed bucket"],
  local_csv: ["Path", "in the folder that the line was given"],
};
// Errors after which the source is there, only not counted.
const UNCOUNTED = new Set(["ESTIMATE_TOO_LONG", "ESTIMATES_BUSY"]);

const token = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");

class Load extends Part {
  begin() {
    this.kind = "upload";
    this.source = "";
    this.step = "";
  }

  end() {
    this.sending?.abort();
  }

  view() {
    const busy = this.step === "sending" || this.step === "counting" || this.step === "running";
    const told = bounds();
    return [
      h("h1", {}, "Load"),
      told.length > 0 && h("p", {class: "quiet"}, "This key may use ", told.join("; "), "."),
      h("section", {class: "sources"},
        h("div", {class: "states", role: "group", "aria-label": "Kind of source"}, KINDS.map(([kind, name]) => h("button", {
          type: "button", class: "plain", "aria-pressed": kind === this.kind ? "true" : "false", disabled: busy, key: kind, onclick: () => this.choose(kind),
        }, name))),
        this.kind === "upload" ? this.drop(busy) : this.named()),
      h("section", {"aria-labelledby": "options"}, h("h2", {id: "options"}, "Options"),
        h("vl-options", {data: {problems: this.problems, changed: () => this.stale()}})),
      this.bar(),
      this.problem && h("p", {class: "notice", role: "alert"}, said(this.problem)),
      h("p", {class: "buttons deeds"},
        h("button", {type: "button", key: "estimate", class: this.fresh ? "" : "main", disabled: busy || !this.given(), onclick: () => this.estimate()},
          this.estimated ? "Estimate again" : "Estimate"),
        h("button", {type: "button", key: "run", class: this.fresh ? "main" : "", disabled: busy || !this.fresh, onclick: () => this.run()}, "Run"),
        busy && h("button", {type: "button", class: "plain", key: "stop", onclick: () => this.sending?.abort()}, "Stop"),
        h("span", {class: "quiet"}, this.hint(busy))),
      this.estimated && h("vl-estimate", {data: {estimate: this.estimated, stale: !this.fresh}}),
    ];
  }

  hint(busy) {
    if (this.step === "counting") return "Counting rows and tokens; nothing is bought.";
    if (busy) return "";
    if (this.stored) return [h("a", {href: to("task", this.stored)}, "The task is stored."), " This key may not look at it."];
    if (!this.given()) return this.kind === "upload" ? "Choose a file first." : "Say which source first.";
    if (this.estimated && !this.fresh) return "The options have changed since the estimate.";
    return this.fresh ? "" : "An estimate costs nothing.";
  }

  choose(kind) {
    this.kind = kind;
    this.file = null;
    this.source = this.uploadId = "";
    this.estimated = null;
    this.stale();
  }

  drop(busy) {
    return h("label", {
      class: `drop ${this.over ? "over" : ""}`, key: "drop",
      ondragover: (event) => {
        event.preventDefault();
        if (!this.over) {
          this.over = true;
          this.refresh();
        }
      },
      ondragleave: () => {
        this.over = false;
        this.refresh();
      },
      ondrop: (event) => {
        event.preventDefault();
        this.over = false;
        if (!busy) this.take(event.dataTransfer.files);
      },
    },
    h("input", {type: "file", id: "file", disabled: busy, onchange: (event) => this.take(event.target.files)}),
    h("span", {}, this.file ? [h("strong", {class: "clipped"}, said(this.file.name)), h("span", {class: "quiet"}, bytes(this.file.size))]
      : "Drop a CSV here, plain or gzip, or choose one"));
  }

  named() {
    const [name, hint] = HINTS[this.kind] || [];
    if (!name) return h("p", {class: "quiet", key: "metabase"}, "The question and its dates are options below: the question's number, the first and the last day.");
    return h("label", {class: "field wide", key: "named"}, h("span", {}, name), h("input", {
      type: "text", value: this.source, placeholder: hint, autocomplete: "off", spellcheck: "false",
      "aria-invalid": this.problems?.s3_key ? "true" : null,
      oninput: (event) => {
        this.source = event.target.value.trim();
        this.stale();
      },
    }), this.problems?.s3_key && h("span", {class: "problem"}, this.problems.s3_key));
  }

  take(files) {
    if (!files.length) return;
    [this.file] = files;
    this.uploadId = "";
    this.estimated = null;
    this.stale();
    this.problem = files.length > 1 ? "One file at a time: the first is taken." : "";
    announce(`${this.file.name} chosen.`);
  }

  given() {
    return this.kind === "upload" ? Boolean(this.file || this.uploadId) : this.kind === "metabase" || Boolean(this.source);
  }

  stale() {
    this.fresh = false;
    this.problem = "";
    this.problems = {};
    this.refresh();
  }

  bar() {
    if (this.step !== "sending") return null;
    const {sent, size, began} = this.sent;
    const rate = sent / Math.max(0.1, (Date.now() - began) / 1000);
    const words = sent < size ? `${bytes(sent)} of ${bytes(size)}, ${duration((size - sent) / Math.max(1, rate))} left` : `${bytes(size)} sent; it is read and counted`;
    return h("div", {class: "upload"},
      h("progress", {max: Math.max(1, size), value: sent, "aria-label": "Upload"}),
      h("span", {class: "quiet"}, size ? `${percent(sent / size)}: ` : "", words));
  }

  asked() {
    const options = request(this.querySelector("vl-options").values);
    if (this.uploadId) return {...options, data_source: "upload", upload_id: this.uploadId};
    return {...options, data_source: this.kind, ...(this.source && {s3_key: this.source})};
  }

  async estimate() {
    this.problem = "";
    this.problems = {};
    this.estimated = null;
    this.sending = new AbortController();
    const {signal} = this.sending;
    try {
      if (this.kind === "upload" && !this.uploadId) await this.send(signal);
      else {
        this.step = "counting";
        this.refresh();
        this.estimated = await ask("estimate", {method: "POST", body: this.asked(), signal});
        this.uploadId = this.estimated.upload_id || this.uploadId;
      }
      this.idempotency = token();
      this.fresh = true;
      announce("The estimate is there.");
    } catch (error) {
      this.failed(error, signal);
    }
    this.step = "";
    this.refresh();
    this.querySelector("vl-estimate")?.scrollIntoView({block: "nearest"});
  }

  async send(signal) {
    this.step = "sending";
    this.sent = {sent: 0, size: this.file.size, began: Date.now()};
    this.refresh();
    const {data_source: _, ...options} = this.asked();
    const came = await upload(this.file, {...options, estimate: true}, (sent, size) => {
      this.sent = {...this.sent, sent, size};
      this.refresh();
    }, signal);
    this.estimated = came.estimate;
    this.uploadId = came.upload_id;
  }

  failed(error, signal) {
    if (signal?.aborted) {
      this.problem = "Stopped.";
      return;
    }
    this.problem = error.message;
    this.problems = fieldProblems(error);
    if (!(error instanceof ApiError) || !UNCOUNTED.has(error.reason)) return;
    this.uploadId = error.metadata.upload_id || this.uploadId;
    this.fresh = this.kind !== "upload" || Boolean(this.uploadId);
    this.idempotency = token();
  }

  async run() {
    this.step = "running";
    this.problem = "";
    this.refresh();
    try {
      const answer = await fetched("process", {method: "POST", body: this.asked(), headers: {"Idempotency-Key": this.idempotency}});
      this.stored = (await answer.json()).task_id;
      if (may("read")) location.hash = to("task", this.stored);
    } catch (error) {
      this.failed(error);
    }
    this.step = "";
    this.refresh();
  }
}

customElements.define("vl-load", Load);
