// Usage over time.
import { Fault, data, get, page } from "../api.js";
import { alertBox, fill, h } from "../dom.js";
import { number } from "../format.js";
import { plot, whole } from "./plot.js";

const box = document.getElementById("usage");
const form = document.getElementById("range");
const [first, last, by, csv] = ["first", "last", "by", "csv"].map((id) => document.getElementById(id));
const DAY = 86400000;

const iso = (date) => date.toISOString().slice(0, 10);

function figure(label, value) {
  return h("div", { class: "jb-card jb-figure" }, h("span", { class: "jb-figure-value" }, value), h("span", { class: "jb-hint" }, label));
}

function images(found) {
  const all = Object.entries(found).toSorted((one, two) => two[1] - one[1]);
  const most = all.length ? all[0][1] : 1;
  const rows = all.map(([image, count]) => {
    const bar = h("span", { class: "jb-rank" });
    bar.style.width = `${(100 * count) / most}%`;
    return h("li", {}, h("span", {}, h("code", {}, image)), h("span", { class: "jb-number" }, number(count)), h("span", { class: "jb-rank-track", "aria-hidden": "true" }, bar));
  });
  return h("section", { class: "jb-card jb-plot-card" }, h("h2", {}, "Sessions by image"), h("ul", { class: "jb-ranking" }, ...rows));
}

function show(usage) {
  [first.value, last.value, by.value] = [usage.first, usage.last, usage.by];
  csv.href = `${page.portal_url}api/admin/usage.csv?${query()}`;
  for (const button of form.querySelectorAll("[data-days]")) {
    const days = (Date.parse(usage.last) - Date.parse(usage.first)) / DAY + 1;
    button.setAttribute("aria-pressed", String(Number(button.dataset.days) === days && button.dataset.by === usage.by));
  }
  if (usage.missing) {
    fill(box, alertBox("warning", usage.missing));
    return;
  }
  const times = usage.points.map((point) => point.start);
  const sum = (field) => usage.points.reduce((total, point) => total + point[field], 0);
  const line = (field, label, colour) => plot({ title: `${label} by ${usage.by}`, times, lines: [{ label, colour, values: usage.points.map((point) => point[field]), bars: true, show: whole }] });
  const load = usage.load.map((point) => point.time);
  fill(
    box,
    h("div", { class: "jb-figures-row" }, figure("sessions", number(sum("sessions"))), figure("different people", number(usage.users)), figure("hours", number(Math.round(sum("hours"))))),
    h(
      "div",
      { class: "jb-plots" },
      line("sessions", "Sessions", "--jb-plot-1"),
      line("users", "People", "--jb-plot-2"),
      line("hours", "Hours", "--jb-plot-3"),
      load.length ? plot({ title: "Load: sessions at one time", times: load, day: false, lines: [{ label: "Sessions", colour: "--jb-plot-1", values: usage.load.map((point) => point.sessions), show: whole }] }) : null,
      load.length && usage.load.some((point) => point.memory !== null)
        ? plot({ title: "Load: memory promised", times: load, day: false, top: 1, lines: [{ label: "Memory", colour: "--jb-plot-2", values: usage.load.map((point) => point.memory), show: (value) => `${Math.round(value * 100)} %` }] })
        : null,
      Object.keys(usage.images).length ? images(usage.images) : null,
    ),
  );
}

const query = () => new URLSearchParams({ by: by.value, from: first.value, to: last.value });

async function load() {
  if (!form.checkValidity()) return;
  box.setAttribute("aria-busy", "true");
  try {
    show(await get(`api/admin/usage?${query()}`));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    fill(box, alertBox("danger", `${error.message} `, h("code", {}, error.code)));
  }
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", load);
form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-days]");
  if (!button) return;
  last.value = iso(new Date());
  first.value = iso(new Date(Date.now() - (Number(button.dataset.days) - 1) * DAY));
  by.value = button.dataset.by;
  load();
});

show(data());
document.documentElement.dataset.ready = page.name;
