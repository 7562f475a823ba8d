// How much an API is called, how fast it answers and what fails.
import { get } from "../api.js";
import { alertBox, fill, h } from "../dom.js";
import { number } from "../format.js";
import { plot, whole } from "../admin/plot.js";
import { whileShown } from "./shown.js";
import { duration } from "./words.js";

const MINUTES = { 1: 1, 24: 15, 168: 120 };
const SECONDS = 20;

const plots = document.getElementById("plots");
const now = document.getElementById("now");
const choice = document.getElementById("hours");
let hours = 24;
let drawn = "";

/** Buckets of a minute in spans of several, those without calls too. */
function spans(buckets, minutes) {
  const step = minutes * 60;
  const end = Math.floor(Date.now() / 1000 / step) * step;
  const times = Array.from({ length: (hours * 60) / minutes }, (_, at) => end - step * ((hours * 60) / minutes - 1 - at));
  const found = new Map(times.map((time) => [time, { time, calls: 0, refused: 0, errors: 0, weighted: 0, weight: 0, p95: null }]));
  for (const one of buckets) {
    const span = found.get(Math.floor(one.time / step) * step);
    if (!span) continue;
    span.calls += one.calls;
    span.refused += one.refused;
    span.errors += one.errors;
    if (one.p50 !== null) {
      span.weighted += one.p50 * one.calls;
      span.weight += one.calls;
    }
    if (one.p95 !== null) span.p95 = Math.max(span.p95 ?? 0, one.p95);
  }
  return [...found.values()].map((span) => ({ ...span, p50: span.weight ? span.weighted / span.weight : null }));
}

function figure(label, value, tone = "") {
  return h("div", { class: `jb-card jb-figure ${tone}` }, h("span", { class: "jb-figure-value" }, value), h("span", { class: "jb-hint" }, label));
}

function draw(stats) {
  const minutes = MINUTES[hours];
  const points = spans(stats.buckets, minutes);
  const wanted = JSON.stringify([hours, points]);
  now.textContent = `${number(stats.outstanding)} calls under way, ${number(stats.containers)} ${stats.containers === 1 ? "container" : "containers"}`;
  if (wanted === drawn) return;
  drawn = wanted;
  const sum = (field) => points.reduce((total, point) => total + point[field], 0);
  const times = points.map((point) => point.time);
  const line = (field, label, colour, show, bars) => ({ label, colour, values: points.map((point) => point[field]), show, bars });
  const slowest = points.reduce((most, point) => Math.max(most, point.p95 ?? 0), 0);
  const each = minutes === 1 ? "minute" : minutes < 60 ? `${minutes} minutes` : `${minutes / 60} hours`;
  fill(
    plots,
    h("div", { class: "jb-figures-row" }, figure("calls", number(sum("calls"))), figure("refused", number(sum("refused") - sum("errors"))), figure("failed", number(sum("errors"))), figure("slowest 5 %", slowest ? duration(slowest) : "–")),
    h(
      "div",
      { class: "jb-plots" },
      plot({ title: `Calls in ${each}`, times, day: false, lines: [line("calls", "Calls", "--jb-plot-1", whole, true), line("errors", "Failed", "--jb-plot-3", whole, true)] }),
      plot({ title: "Time to answer", times, day: false, top: slowest ? slowest * 1.1 : 1, lines: [line("p50", "Median", "--jb-plot-1", duration), line("p95", "95 of 100 within", "--jb-plot-2", duration)] }),
    ),
  );
}

/** Follow the figures of the API at a path while their tab is seen. */
export function followUse(path) {
  const lost = (fault) => {
    if (fault) fill(plots, alertBox("danger", `${fault.message} `, h("code", {}, fault.code)));
    if (fault) drawn = "";
  };
  const again = whileShown("use", SECONDS, async () => draw(await get(`${path}/stats?hours=${hours}`)), lost);
  choice.addEventListener("click", (event) => {
    const button = event.target.closest("[data-hours]");
    if (!button) return;
    hours = Number(button.dataset.hours);
    for (const one of choice.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one === button));
    again();
  });
}
