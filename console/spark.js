// A small curve of the last 15 minutes: its place in time is true, gaps included, and its highest value is said.

import {h} from "./dom.js";
import {local} from "./format.js";

const WIDTH = 160;
const HEIGHT = 32;
const SPAN_MS = 15 * 60_000;
// Looks are 10 s apart; more than this is a gap.
const GAP_MS = 25_000;

/** `values` are {at, value}, oldest first; `words` writes a value. */
export function spark(values, label, words) {
  if (values.length < 2) return h("span", {class: "quiet"}, "…");
  const end = new Date(values.at(-1).at).getTime();
  const most = Math.max(...values.map((each) => each.value));
  const points = values.map((each) => ({
    time: new Date(each.at).getTime(), y: HEIGHT - 2 - (most ? (each.value / most) * (HEIGHT - 4) : 0),
  })).filter((each) => each.time >= end - SPAN_MS);
  let path = "";
  points.forEach((each, number) => {
    const x = WIDTH - ((end - each.time) / SPAN_MS) * WIDTH;
    const gap = !number || each.time - points[number - 1].time > GAP_MS;
    path += `${gap ? "M" : "L"}${x.toFixed(1)} ${each.y.toFixed(1)}`;
  });
  const told = `${label}: ${words(values.at(-1).value)} now, at most ${words(most)} since ${local(points.length ? points[0].time : end)}`;
  return h("span", {class: "spark"},
    h("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": told},
      h("title", {}, told), h("path", {d: path, "vector-effect": "non-scaling-stroke"})),
    h("span", {class: "quiet", "aria-hidden": "true"}, words(most)));
}
