// The installation at a glance.
import { data, keepFresh, page } from "../api.js";
import { alertBox, fill, h, icon } from "../dom.js";
import { bytes, number, when } from "../format.js";
import { plot, whole } from "./plot.js";

const box = document.getElementById("overview");
let drawn = "";
let drawnDays = "";
let drawnPlots = null;

const may = (name) => page.me.admin_pages.includes(name);

function tile(symbol, name, label, value, detail = "", tone = "") {
  const inside = [icon(symbol), h("span", { class: "jb-figure-value" }, value), h("span", { class: "jb-hint" }, label), detail ? h("span", { class: "jb-tile-detail" }, detail) : null];
  const kind = `jb-card jb-tile ${tone}`;
  if (!may(name)) return h("div", { class: kind }, ...inside.filter(Boolean));
  return h("a", { class: kind, href: `${page.portal_url}admin/${name}` }, ...inside.filter(Boolean));
}

function tiles(now) {
  const limit = now.sessions_limit === null ? "" : `of ${number(now.sessions_limit)}`;
  const memory = now.memory_promised === null ? "unknown" : bytes(now.memory_promised);
  const total = now.memory_total === null ? "" : `of ${bytes(now.memory_total)}`;
  return h(
    "div",
    { class: "jb-tiles" },
    tile("collection-play", "sessions", "sessions run", number(now.sessions_running), limit),
    tile("people", "users", "users", number(now.users), now.users_pending ? `${number(now.users_pending)} wait for approval` : ""),
    tile("memory", "instances", "memory promised", memory, total),
    tile("hdd", "volumes", "disk free", now.disk_free === null ? "unknown" : bytes(now.disk_free)),
    tile("hdd-stack", "instances", "instances ready", `${now.instances_ready}`, `of ${now.instances}`, now.instances_ready < now.instances ? "jb-bad" : ""),
    tile("bug", "failures", "failures, 24 h", number(now.failures), "", now.failures ? "jb-warn" : ""),
    tile("plug", "plugins", "plugins with a fault", number(now.plugin_faults), "", now.plugin_faults ? "jb-bad" : ""),
  );
}

function plots(days) {
  const wanted = JSON.stringify(days);
  if (wanted === drawnDays) return drawnPlots;
  drawnDays = wanted;
  const times = days.map((point) => point.start);
  const line = (field, label, colour) => plot({ title: `${label}, last ${days.length} days`, times, lines: [{ label, colour, values: days.map((point) => point[field]), bars: true, show: whole }] });
  drawnPlots = days.length ? h("div", { class: "jb-plots" }, line("sessions", "Sessions", "--jb-plot-1"), line("users", "People", "--jb-plot-2")) : null;
  return drawnPlots;
}

function failures(found) {
  if (!found.length) return null;
  const rows = found.map((one) =>
    h("li", { class: "jb-item" }, h("div", { class: "jb-grow" }, h("p", {}, h("strong", {}, one.subject), " ", h("span", { class: "jb-chip" }, one.kind)), h("p", { class: "jb-hint" }, one.message, " ", h("code", {}, one.code))), h("span", { class: "jb-hint" }, when(one.time))),
  );
  return h("section", { "aria-labelledby": "recent" }, h("h2", { id: "recent" }, "Recent failures"), h("ul", { class: "jb-card jb-items" }, ...rows));
}

function show(now) {
  const wanted = JSON.stringify(now);
  if (wanted === drawn) return; // what has the focus keeps it
  drawn = wanted;
  fill(box, now.degraded ? alertBox("warning", now.degraded) : null, tiles(now), plots(now.days), failures(now.recent_failures));
}

show(data());
keepFresh("api/admin/overview", () => 15, show);
document.documentElement.dataset.ready = page.name;
