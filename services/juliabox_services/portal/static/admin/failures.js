// What went wrong of late, and why.
import { h } from "../dom.js";
import { when } from "../format.js";
import { DataTable } from "./table.js";

new DataTable({
  api: "api/admin/failures",
  what: "Failures",
  sort: "time",
  order: "desc",
  refresh: 30,
  rows: (data) => data.failures,
  none: ["check-lg", "Nothing went wrong", "Starts that fail, sessions that run out of memory and faults of plugins and tasks appear here."],
  columns: [
    { field: "subject", label: "What" },
    { field: "kind", label: "Kind", render: (row) => h("span", { class: "jb-chip" }, row.kind) },
    { field: "message", label: "Cause", wide: true, render: (row) => [row.message, " ", h("code", {}, row.code)] },
    { field: "instance", label: "Instance" },
    { field: "time", label: "When", render: (row) => when(row.time) },
  ],
});
