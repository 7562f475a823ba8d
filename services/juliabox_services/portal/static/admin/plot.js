// Plots with uPlot, in the colours of the theme, with a table of the same figures for readers.
import { h } from "../dom.js";
import { number } from "../format.js";

const { uPlot } = window;
const HEIGHT = 200;
/** Distances between lines of what is counted. */
const STEPS = [0, 1, 2, 3, 4, 5, 6].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function axes(show) {
  const common = { stroke: colour("--jb-soft"), grid: { stroke: colour("--jb-line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return [
    { ...common, grid: { show: false }, space: 60 },
    { ...common, size: 52, space: 36, incrs: show === whole ? STEPS : undefined, values: (_, splits) => splits.map((value) => show(value)) },
  ];
}

function series({ label, colour: name, bars, show }) {
  const stroke = colour(name);
  return {
    label,
    stroke,
    fill: bars ? `${stroke}cc` : `${stroke}22`,
    width: bars ? 0 : 2,
    points: { show: !bars, size: 5, fill: stroke, filter: bars ? undefined : alone },
    paths: bars ? uPlot.paths.bars({ size: [0.7, 48], radius: 0.15 }) : undefined,
    value: (_, value) => (value === null || value === undefined ? "–" : show(value)),
  };
}

/** Where a line has a figure and none beside it: a line of one figure is not seen. */
function alone(chart, at) {
  const values = chart.data[at];
  const known = (index) => values[index] !== null && values[index] !== undefined;
  return [...values.keys()].filter((index) => known(index) && !known(index - 1) && !known(index + 1));
}

/**
 * A plot of `lines` (`{label, colour, values, bars, show}`) over `times` in a card. It follows
 * the width of its place and the theme.
 */
export function plot({ title, times, lines, day = true, top = null }) {
  const place = h("div", { class: "jb-plot", role: "img", "aria-label": summary(title, lines) });
  const card = h("section", { class: "jb-card jb-plot-card" }, h("h2", {}, title), place, table(title, times, lines, day));
  let chart = null;
  const draw = () => {
    chart?.destroy();
    chart = null;
    const width = Math.floor(place.clientWidth);
    if (!width) return;
    const format = (time) => (time === null || time === undefined ? "" : day ? days.format(time * 1000) : moments.format(time * 1000));
    chart = new uPlot(
      {
        width,
        height: HEIGHT,
        tzDate: day ? (time) => uPlot.tzDate(new Date(time * 1000), "UTC") : undefined,
        cursor: { drag: { x: false, y: false }, points: { size: 7 } },
        legend: { live: true },
        scales: { y: { range: (_, low, high) => [0, top ?? Math.max(1, high * 1.1)] }, x: { range: (_, low, high) => pad(low, high, lines[0].bars, times) } },
        axes: axes(lines[0].show),
        series: [{ label: day ? "Day" : "Time", value: (_, time) => format(time) }, ...lines.map(series)],
        // without a pointer over it the legend tells the latest figures
        hooks: { ready: [latest], setCursor: [(made) => made.cursor.idx === null && latest(made)] },
      },
      [times, ...lines.map((line) => line.values)],
      place,
    );
    // a canvas is a picture; the figures are in the table below
    place.querySelector("canvas").setAttribute("aria-hidden", "true");
  };
  new ResizeObserver(draw).observe(place);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  return card;
}

function latest(chart) {
  chart.setLegend({ idx: chart.data[0].length - 1 });
}

function pad(low, high, bars, times) {
  if (!bars) return [low, high];
  const step = times.length > 1 ? times[1] - times[0] : 86400;
  return [low - step / 2, high + step / 2];
}

const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function summary(title, lines) {
  const parts = lines.map(({ label, values, show }) => {
    const known = values.filter((value) => value !== null);
    return known.length ? `${label} at most ${show(Math.max(...known))}, latest ${show(known.at(-1))}` : `${label}: no figures`;
  });
  return `Plot: ${title}. ${parts.join("; ")}. The figures follow as a table.`;
}

function table(title, times, lines, day) {
  const heads = [day ? "Day" : "Time", ...lines.map((line) => line.label)];
  const body = times.map((time, index) =>
    h("tr", {}, h("th", { scope: "row" }, (day ? days : moments).format(time * 1000)), ...lines.map((line) => h("td", {}, line.values[index] === null ? "–" : line.show(line.values[index])))),
  );
  const list = h("table", { class: "jb-figures", "aria-label": title }, h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, ...body));
  return h("details", {}, h("summary", {}, "Figures"), h("div", { class: "jb-scroll", tabindex: "0", role: "group", "aria-label": `Figures: ${title}` }, list));
}

export const whole = (value) => number(Math.round(value));
