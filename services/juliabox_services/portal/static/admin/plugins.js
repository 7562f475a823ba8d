// Installed plugins, what they provide, and what is wrong with them.
import { h, icon } from "../dom.js";
import { DataTable, badge } from "./table.js";

function state(row) {
  if (row.fault) return badge("fault", "bad");
  if (!row.enabled) return badge("installed");
  return badge(row.required ? "required" : "enabled", "on");
}

function name(row) {
  const fault = row.fault
    ? h("div", { class: "jb-fault" }, icon("exclamation-triangle"), h("span", {}, row.fault, " ", h("code", {}, row.fault_code), row.fault_part ? ` (${row.fault_part})` : ""))
    : "";
  return [row.name, fault];
}

new DataTable({
  api: "api/admin/plugins",
  what: "Plugins",
  sort: "group",
  rows: (data) => data.plugins,
  none: ["plug", "No plugins", "`juliabox plugin install` adds one."],
  columns: [
    { field: "name", label: "Name", render: name },
    { field: "group", label: "Mount point", render: (row) => row.group.replace("juliabox.", "") || "–" },
    { field: "enabled", label: "State", render: state },
    { field: "features", label: "Features", sort: false, wide: true, render: (row) => h("span", { class: "jb-row jb-tight" }, ...row.features.map((one) => h("code", {}, one))) },
    { field: "distribution", label: "Distribution", render: (row) => h("span", { class: "jb-whole" }, row.distribution, " ", h("span", { class: "jb-soft" }, row.version)) },
  ],
});
