// Figures as people read them. Times are local; what a time is in UTC is in its title.

import {h} from "./dom.js";

const WHOLE = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const SHORT = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1});
const CLOCK = new Intl.DateTimeFormat(undefined, {hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false});
const DAY = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false,
});

export const count = (number) => WHOLE.format(number || 0);

export const short = (number) => (Math.abs(number) < 10_000 ? count(number) : SHORT.format(number));

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function rate(number) {
  if (!number) return "0";
  return number < 10 ? number.toFixed(1) : count(number);
}

export function dollars(number) {
  if (number === 0) return "$0";
  if (number < 0.01) return `$${Number(number.toPrecision(2)).toFixed(Math.min(8, 1 - Math.floor(Math.log10(number))))}`;
  return `$${number.toLocaleString("en", {minimumFractionDigits: 2, maximumFractionDigits: 2})}`;
}

export function bytes(number) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit && number < 100 ? number.toFixed(1) : WHOLE.format(number)} ${units[unit]}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 1) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds) % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share > 0.999 && share < 1) return "> 99.9 %";
  return `${(share * 100).toFixed(share && share < 0.1 ? 1 : 0)} %`;
}

export const seconds = (from, to) => (new Date(to) - new Date(from)) / 1000;

/** A moment in local time: the clock of today, else the day too. */
export function local(at) {
  const moment = new Date(at);
  return moment.toDateString() === new Date().toDateString() ? CLOCK.format(moment) : DAY.format(moment);
}

const utc = (at) => `${new Date(at).toISOString().replace("T", " ").replace(/\.\d+Z$/, "")} UTC`;

/** A <time>. */
export function time(at, given = {}) {
  if (!at) return null;
  return h("time", {datetime: at, title: utc(at), ...given}, local(at));
}

/** How long ago, as a <time>. */
export function ago(at) {
  if (!at) return null;
  const past = (Date.now() - new Date(at)) / 1000;
  return h("time", {datetime: at, title: `${local(at)}, ${utc(at)}`}, past < 5 ? "now" : `${roughly(past)} ago`);
}

function roughly(past) {
  for (const [name, size] of [["d", 86_400], ["h", 3_600], ["min", 60]]) {
    if (past >= size) return `${Math.floor(past / size)} ${name}`;
  }
  return `${Math.floor(past)} s`;
}

export const WORDS = {
  pending: "Pending",
  queued: "Queued",
  processing: "Scanning",
  processing_chunks: "Loading",
  blocked: "Blocked",
  completed: "Completed",
  partially_completed: "Partly completed",
  failed: "Failed",
  cancelled: "Cancelled",
};

export const TERMINAL = new Set(["completed", "partially_completed", "failed", "cancelled"]);

export const isOpen = (status) => !TERMINAL.has(status) && status !== "blocked";
