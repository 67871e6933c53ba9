// The line as it is, from ingest to indexer, and what it was like in the last 15 minutes.

import {Unreachable, ask, link} from "./api.js";
import {Part, h} from "./dom.js";
import {bytes, count, duration, percent, rate, time} from "./format.js";
import {spark} from "./spark.js";

const LOOK_MS = 5_000;

class Line extends Part {
  begin() {
    this.look();
    this.every(LOOK_MS, () => !document.hidden && this.look());
    this.hear(document, "visibilitychange", () => !document.hidden && this.look());
  }

  async look() {
    if (this.looking) return;
    this.looking = true;
    try {
      this.line = await ask("monitoring/line", {signal: this.ends.signal});
      this.problem = null;
    } catch (error) {
      if (!this.ends.signal.aborted) this.problem = error;
    }
    this.looking = false;
    this.refresh();
  }

  view() {
    const {line, problem} = this;
    return [
      h("div", {class: "beside"}, h("h1", {}, "Line"),
        h("p", {class: "quiet read"}, line ? ["Read at ", time(line.timestamp), problem ? "; not since" : ""] : "Reading …")),
      problem && !(problem instanceof Unreachable && link.lost) && h("p", {class: "notice", role: "alert"}, problem.message),
      line && h("ol", {class: `line ${problem ? "stale" : ""}`}, this.ingest(line), this.queue(line), this.embedder(line), this.limit(line), this.indexer(line)),
      line && h("p", {class: "quiet"}, line.samples?.length > 1
        ? ["Curves since ", time(line.samples[0].time), ", a look each 10 s by the embedder that answered."] : "Curves begin with the second look of the embedder that answers."),
    ];
  }

  station(name, state, facts, curves) {
    return h("li", {key: name}, h("h2", {}, name), state && h("p", {class: `state ${state.bad ? "bad" : ""}`}, state.words),
      h("dl", {class: "facts"}, facts.filter(Boolean).map(([label, value]) => [h("dt", {}, label), h("dd", {}, value)])),
      curves.map(([label, values, words]) => h("div", {class: "curve", key: label}, h("span", {class: "quiet"}, label), spark(values, label, words))));
  }

  curve(line, name) {
    return (line.samples || []).map((each) => ({at: each.time, value: each[name] || 0}));
  }

  health(line, name) {
    const told = line.services?.[name];
    if (!told) return {words: "Not known", bad: true};
    return told === "healthy" ? {words: "Healthy"} : {words: "Does not answer", bad: true};
  }

  ingest(line) {
    return this.station("Ingest", this.health(line, "ingest"), [["Replicas", count(line.ingests)]], [["Replicas", this.curve(line, "ingests"), count]]);
  }

  queue(line) {
    const {queues} = line;
    const state = this.health(line, "valkey");
    if (!queues) return this.station("Queue", {words: "Does not answer", bad: true}, [], []);
    const full = queues.bytes / (queues.most_bytes || 1);
    return this.station("Queue", full > 0.9 ? {words: "Full: ingest waits", bad: true} : state, [
      ["Waiting", `${count(queues.waiting)} chunks`], ["In flight", `${count(queues.pending)} chunks`],
      ["Oldest", queues.oldest_seconds ? duration(queues.oldest_seconds) : "none"],
      ["Held", `${bytes(queues.bytes)}, ${percent(full)}`],
      ...queues.queues.filter((each) => each.waiting || each.pending).map((each) => [each.name, `${count(each.waiting)} + ${count(each.pending)}`]),
    ], [["Waiting", this.curve(line, "waiting"), count], ["Oldest", this.curve(line, "oldest_seconds"), duration]]);
  }

  embedder(line) {
    const {workers} = line;
    if (!workers) return this.station("Embedder", {words: "Not known", bad: true}, [], []);
    const replicas = workers.workers?.length || 0;
    return this.station("Embedder", replicas ? {words: "Healthy"} : {words: "None announces itself: chunks wait", bad: true}, [
      ["Replicas", count(replicas)], ["At work", `${count(workers.active)} chunks`], ["Free", `${count(workers.available)} slots`],
    ], [["At work", this.curve(line, "active"), count], ["Replicas", this.curve(line, "embedders"), count]]);
  }

  limit(line) {
    const {limiter} = line;
    if (!limiter) return this.station("OpenAI", {words: "The limit is not known", bad: true}, [], []);
    const refused = (line.samples || []).reduce((sum, each) => sum + (each.refused || 0), 0);
    const now = line.samples?.at(-1)?.permits_per_second;
    const of = (value, most, unit) => (most ? `${rate(value)} of ${rate(most)} ${unit}` : value ? `${rate(value)} ${unit}, learned` : "no limit");
    let state = {words: "Takes requests"};
    if (limiter.blocked) state = {words: `The account refuses: ${limiter.blocked_reason}`, bad: true};
    else if (line.circuits?.openai === "open") state = {words: "Does not answer: the circuit is open", bad: true};
    else if (limiter.pause_seconds) state = {words: `Asked for a pause, ${duration(limiter.pause_seconds)} more`, bad: true};
    else if (limiter.factor < 1) state = {words: `At ${percent(limiter.factor)} after a 429, climbing back`};
    return this.station("OpenAI", state, [
      ["Limit", of(limiter.requests_per_second, limiter.configured_requests_per_second, "requests/s")],
      ["Tokens", of(limiter.tokens_per_minute, limiter.configured_tokens_per_minute, "a minute")],
      now !== undefined && ["Permits", `${rate(now)}/s`], ["429s", `${count(refused)} in 15 min`], ["Circuit", line.circuits?.openai || "not known"], ["Model", limiter.model],
    ], [["Permits a second", this.curve(line, "permits_per_second"), rate], ["429s", this.curve(line, "refused"), count]]);
  }

  indexer(line) {
    const state = this.health(line, "indexer");
    const open = line.circuits?.pinecone === "open";
    return this.station("Indexer", open && !state.bad ? {words: "Pinecone does not answer", bad: true} : state, [
      ["Circuit to Pinecone", line.circuits?.pinecone || "not known"], ["In flight", line.queues ? `${count(line.queues.pending)} chunks` : "not known"],
    ], [["In flight", this.curve(line, "pending"), count]]);
  }
}

customElements.define("vl-line", Line);
