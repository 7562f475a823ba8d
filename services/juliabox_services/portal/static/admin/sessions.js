// The sessions of everybody.
import { attempt, post } from "../api.js";
import { busy, confirmed, h } from "../dom.js";
import { bytes, cores, span, when } from "../format.js";
import { DataTable, badge } from "./table.js";

const TONES = { running: "on", created: "waiting", starting: "waiting", stopping: "waiting" };

async function stop(row, button) {
  const label = row.server ? `${row.owner}/${row.server}` : row.owner;
  const text = `What ${row.owner} runs in it ends, and variables are lost. Files stay.`;
  if (!(await confirmed({ title: `Stop the session of ${label}?`, text, action: "Stop" }))) return;
  await busy(button, () => attempt(() => post("api/admin/sessions/stop", { owner: row.owner, server: row.server }), `The session of ${label} is stopping.`));
  table.load();
}

function stopButton(row) {
  if (row.state !== "running" && row.state !== "starting") return "";
  const button = h("button", { type: "button", class: "btn btn-sm btn-outline-danger", "aria-label": `Stop ${row.owner} ${row.server}`.trim(), onclick: () => stop(row, button) }, "Stop");
  return button;
}

const measure = (used, limit, show) => (used === null ? "–" : h("span", { title: limit === null ? "" : `of ${show(limit)}` }, show(used)));

const table = new DataTable({
  api: "api/admin/sessions",
  what: "Sessions",
  remote: true,
  sort: "started",
  order: "desc",
  refresh: 10,
  rows: (data) => data.sessions,
  none: ["collection-play", "Nobody is in a session", "Sessions appear here as people start them."],
  columns: [
    { field: "owner", label: "Owner", render: (row) => [row.owner, row.server ? h("span", { class: "jb-soft" }, ` / ${row.server}`) : "", row.ending ? h("div", { class: "jb-note" }, row.ending) : ""] },
    { field: "state", label: "State", render: (row) => badge(row.state, TONES[row.state]) },
    { field: "profile", label: "Profile", render: (row) => row.profile || "–" },
    { field: "memory", label: "Memory", align: "end", render: (row) => measure(row.memory, row.memory_limit, bytes) },
    { field: "cpu", label: "CPU", align: "end", render: (row) => measure(row.cpu, row.cpu_limit, cores) },
    { field: "started", label: "Started", render: (row) => when(row.started, "–") },
    { field: "time_left", label: "Time left", render: (row) => (row.time_left === null ? "–" : h("span", { class: "jb-whole" }, span(row.time_left), row.time_left_why === "idle" ? h("span", { class: "jb-soft" }, " if idle") : "")) },
    { field: "instance", label: "Where", render: (row) => [h("div", { class: "jb-whole" }, row.instance || "–"), row.container ? h("code", { class: "jb-whole jb-soft" }, row.container) : ""] },
    { field: "stop", label: "", sort: false, render: stopButton },
  ],
});
