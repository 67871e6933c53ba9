// The REST face: requests with the key, errors in the API's own words, streams that heal, uploads with a bar.

const HERE = new URL("./", document.baseURI);
const STORED = "vectorline.key";
// A stream says something every 15 s.
const SILENCE_MS = 40_000;
const LONGEST_WAIT_MS = 15_000;

let inMemory = "";

/** The key is kept in this tab's session, and nowhere else. */
export const key = {
  get() {
    try {
      return sessionStorage.getItem(STORED) || inMemory;
    } catch {
      return inMemory;
    }
  },
  set(text) {
    inMemory = text;
    try {
      if (text) sessionStorage.setItem(STORED, text);
      else sessionStorage.removeItem(STORED);
    } catch {
      // A browser without storage asks again after a reload.
    }
  },
};

/** What the whole page wants to know: "refused" (the key), "link" (the connection changed). */
export const events = new EventTarget();
export const link = {lost: null, why: ""};

function tell(name, detail) {
  events.dispatchEvent(new CustomEvent(name, {detail}));
}

function reached() {
  if (!link.lost) return;
  link.lost = null;
  tell("link");
}

function unreached(why) {
  link.lost ||= new Date();
  link.why = why;
  tell("link");
}

/** An answer that is no success; `fields` are the API's words on each bad field. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body?.message || `The gateway answered ${status}.`);
    this.status = status;
    const details = body?.details || [];
    this.reason = details.find((each) => each.reason)?.reason || "";
    this.metadata = details.find((each) => each.reason)?.metadata || {};
    this.fields = details.flatMap((each) => each.fieldViolations || each.field_violations || []);
    const wait = details.find((each) => each.retryDelay || each.retry_delay);
    this.retrySeconds = wait ? parseFloat(wait.retryDelay || wait.retry_delay) : 0;
  }
}

/** The line did not answer at all. */
export class Unreachable extends Error {
  constructor() {
    super("The line cannot be reached.");
    this.fields = [];
    this.reason = "UNREACHABLE";
  }
}

export function address(path, query = {}) {
  const url = new URL(`api/v1/${path}`, HERE);
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) {
      if (each !== undefined && each !== null && each !== "") url.searchParams.append(name, each);
    }
  }
  return url;
}

/** What is wrong with each field of a request, by its name. */
export const fieldProblems = (error) => Object.fromEntries((error?.fields || []).map((each) => [each.field, each.description]));

/** The error of an answer that is no success; the page hears of a key that is not taken. */
function refusal(status, body) {
  const error = new ApiError(status, body);
  if (status === 401) tell("refused", error);
  return error;
}

async function failure(answer) {
  let body = null;
  try {
    body = await answer.json();
  } catch {
    // Something between us and the gateway answered in its own words.
  }
  return refusal(answer.status, body);
}

/** The raw answer of a request, if it is a success. */
export async function fetched(path, {method = "GET", query, body, signal, headers = {}} = {}) {
  const given = {"X-API-Key": key.get(), ...headers};
  if (body !== undefined) given["Content-Type"] = "application/json";
  let answer;
  try {
    const options = {method, headers: given, signal, cache: "no-store", redirect: "error"};
    answer = await fetch(address(path, query), {...options, body: body === undefined ? undefined : JSON.stringify(body)});
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable();
  }
  if (!answer.ok) throw await failure(answer);
  reached();
  return answer;
}

/** The JSON of an answer; null of an empty one. */
export async function ask(path, options) {
  const answer = await fetched(path, options);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/** The parts of a streamed body, as they come; who leaves early ends it. (Not every browser can iterate over one.) */
export async function* pieces(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Lines of a streamed answer, as they come. */
export async function* lines(answer) {
  let rest = "";
  for await (const text of pieces(answer.body.pipeThrough(new TextDecoderStream()))) {
    const parts = (rest + text).split("\n");
    rest = parts.pop();
    yield* parts;
  }
  if (rest) yield rest;
}

/**
 * Server-sent events of a path, opened anew whenever they break; each begins with everything as it is then. EventSource
 * could not send the key. Ends when `signal` says so, when `each` answers true, or with an error that will not pass.
 */
export async function follow(path, {query, signal, each}) {
  let wait = 500;
  while (!signal.aborted) {
    const silence = new AbortController();
    let timer = 0;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    let why = "The connection ended.";
    try {
      alive();
      const answer = await fetched(path, {query, signal: AbortSignal.any([signal, silence.signal])});
      for await (const line of lines(answer)) {
        alive();
        if (!line.startsWith("data:")) continue;
        wait = 500;
        reached();
        if (each(JSON.parse(line.slice(5)))) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError) {
        if (error.status < 500 && error.status !== 429) throw error;
        why = error.message;
        wait = Math.max(wait, error.retrySeconds * 1000);
      }
    } finally {
      clearTimeout(timer);
    }
    if (signal.aborted) return;
    unreached(why);
    await pause(wait, signal);
    wait = Math.min(LONGEST_WAIT_MS, wait * 2) * (0.8 + 0.4 * Math.random());
  }
}

/** Wait, but not past a sign that the line is back: "again" here, or the browser's "online". */
function pause(milliseconds, signal) {
  return new Promise((done) => {
    const ends = new AbortController();
    const end = () => {
      ends.abort();
      clearTimeout(timer);
      done();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end, {signal: ends.signal});
    events.addEventListener("again", end, {signal: ends.signal});
    window.addEventListener("online", end, {signal: ends.signal});
  });
}

export const tryNow = () => tell("again");

/** Send a file; `progress` hears bytes sent and bytes in all. fetch cannot tell how far an upload is. */
export function upload(file, query, progress, signal) {
  return new Promise((done, refuse) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(`upload/${encodeURIComponent(file.name)}`, query));
    request.setRequestHeader("X-API-Key", key.get());
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded, event.total);
    request.onerror = () => refuse(new Unreachable());
    request.onabort = () => refuse(new DOMException("The upload was stopped.", "AbortError"));
    request.onload = () => {
      let body = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        // As in failure().
      }
      if (request.status < 300) return done(body);
      refuse(refusal(request.status, body));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
