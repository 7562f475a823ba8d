// The published APIs of everybody, and who changed what.
import { attempt, data, get, page, post } from "../api.js";
import { busy, confirmed, fill, h } from "../dom.js";
import { number, when } from "../format.js";
import { ACCESS, mayStart, stateBadge } from "../apis/words.js";
import { DataTable } from "./table.js";

const API = "api/admin/apis";
const text = data().available ? "People publish Julia functions, in the portal or from their sessions." : "This installation does not run them: `juliabox config set apis.enabled true` turns them on.";
const part = (name) => encodeURIComponent(name);

async function turn(row, button) {
  const name = `${row.publisher}/${row.api}`;
  const why = "Calls are refused, and its publisher cannot start it again. Its versions stay.";
  if (!row.stopped && !(await confirmed({ title: `Stop ${name}?`, text: why, action: "Stop" }))) return;
  if (!(await mayStart(row))) return;
  const done = row.stopped ? `${name} answers calls again.` : `${name} answers no calls now.`;
  await busy(button, () => attempt(() => post(`api/apis/${part(row.publisher)}/${part(row.api)}/${row.stopped ? "start" : "stop"}`, {}), done));
  await attempt(async () => {
    table.show(await get(API));
  });
}

function turnButton(row) {
  const label = row.stopped ? "Start" : "Stop";
  const button = h("button", { type: "button", class: `btn btn-sm ${row.stopped ? "btn-outline-contrast" : "btn-outline-danger"}`, "aria-label": `${label} ${row.publisher}/${row.api}`, onclick: () => turn(row, button) }, label);
  return button;
}

function showAudit({ audit }) {
  const rows = audit.map((row) =>
    h(
      "li",
      { class: "jb-item" },
      h("div", { class: "jb-grow" }, h("p", {}, h("strong", {}, row.who), ` · ${row.what} · `, `${row.publisher}/${row.api}`, row.version ? h("span", { class: "jb-soft" }, ` version ${row.version}`) : ""), row.detail ? h("p", { class: "jb-hint" }, row.detail) : null),
      h("span", { class: "jb-hint" }, when(row.time)),
    ),
  );
  fill(document.getElementById("audit"), rows.length ? h("section", { "aria-labelledby": "audit-title" }, h("h2", { id: "audit-title" }, "Changes"), h("ul", { class: "jb-card jb-items" }, ...rows)) : null);
}

const table = new DataTable({
  api: API,
  what: "Published APIs",
  sort: "publisher",
  refresh: data().available ? 20 : 0,
  rows: (found) => found.apis,
  above: showAudit,
  none: ["braces", "No published APIs", text],
  columns: [
    { field: "publisher", label: "API", wide: true, render: (row) => [h("a", { href: `${page.portal_url}apis/${part(row.publisher)}/${part(row.api)}` }, `${row.publisher}/${row.api}`), h("div", { class: "jb-note" }, row.functions.join(", "))] },
    { field: "stopped", label: "State", render: (row) => stateBadge(row) },
    { field: "access", label: "Access", render: (row) => h("span", { class: "jb-whole" }, ACCESS[row.access] ?? row.access) },
    { field: "active", label: "Version", align: "end" },
    { field: "containers", label: "Containers", align: "end" },
    { field: "calls", label: "Calls, 24 h", align: "end", render: (row) => [number(row.calls), row.errors ? h("div", { class: "jb-note" }, `${number(row.errors)} failed`) : ""] },
    { field: "turn", label: "", sort: false, render: turnButton },
  ],
});
