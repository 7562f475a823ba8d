// Gauges: a measure against its limit, as a `meter` that screen readers can read.
import { h } from "./dom.js";
import { bytes, cores, number } from "./format.js";

const KINDS = {
  memory: { label: "Memory", show: bytes },
  cpu: { label: "CPU", show: cores },
  disk: { label: "Disk", show: bytes },
  pids: { label: "Processes", show: number },
};

/** Words for a gauge: `312 MiB of 1 GiB`. */
function words(kind, gauge) {
  const { show } = KINDS[kind];
  return gauge.limit === null ? show(gauge.used) : `${show(gauge.used)} of ${show(gauge.limit)}`;
}

/** Fill level of a gauge: plain, near its limit, or at it. */
function level(share) {
  if (share >= 0.95) return "full";
  return share >= 0.8 ? "near" : "well";
}

/** One gauge, without a value until `update`. */
function makeGauge(kind) {
  const bar = h("span", { class: "jb-gauge-bar" });
  const value = h("span", { class: "jb-gauge-value" });
  const meter = h(
    "div",
    { class: "jb-gauge-track", role: "meter", "aria-label": KINDS[kind].label, "aria-valuemin": "0", "aria-valuemax": "100" },
    bar,
  );
  const element = h("div", { class: `jb-gauge jb-gauge-${kind}` }, h("span", { class: "jb-gauge-label" }, KINDS[kind].label), value, meter);
  const update = (gauge) => {
    element.hidden = !gauge;
    if (!gauge) return;
    const share = gauge.limit ? Math.min(1, gauge.used / gauge.limit) : 0;
    const text = words(kind, gauge);
    value.textContent = text;
    bar.style.width = `${(share * 100).toFixed(1)}%`;
    element.dataset.level = level(gauge.limit ? share : 0);
    meter.hidden = gauge.limit === null;
    meter.setAttribute("aria-valuenow", String(Math.round(share * 100)));
    meter.setAttribute("aria-valuetext", text);
  };
  return { element, update };
}

/** The gauges of a session; `update` takes its `gauges`, or null. */
export function makeGauges(kinds = ["memory", "cpu", "disk", "pids"]) {
  const made = kinds.map((kind) => [kind, makeGauge(kind)]);
  const element = h("div", { class: "jb-gauges" }, ...made.map(([, gauge]) => gauge.element));
  const update = (gauges) => {
    element.hidden = !gauges;
    for (const [kind, gauge] of made) gauge.update(gauges?.[kind] ?? null);
  };
  update(null);
  return { element, update };
}

/** A gauge that stands alone, such as the use of a volume. */
export function oneGauge(kind, gauge, label = KINDS[kind].label) {
  const made = makeGauge(kind);
  made.update(gauge);
  made.element.querySelector(".jb-gauge-label").textContent = label;
  made.element.querySelector("[role=meter]").setAttribute("aria-label", label);
  return made.element;
}
