// Published APIs.
import { data } from "../api.js";
import { number } from "../format.js";
import { DataTable, chips } from "./table.js";

const text = data().available ? "People publish Julia functions from their sessions." : "This version of JuliaBox does not run published APIs yet.";

new DataTable({
  api: "api/admin/apis",
  what: "Published APIs",
  sort: "publisher",
  rows: (found) => found.apis,
  none: ["braces", "No published APIs", text],
  columns: [
    { field: "name", label: "API", render: (row) => `${row.publisher}/${row.name}` },
    { field: "version", label: "Version", align: "end" },
    { field: "functions", label: "Functions", sort: false, render: (row) => chips(row.functions) },
    { field: "access", label: "Access" },
    { field: "containers", label: "Containers", align: "end" },
    { field: "calls", label: "Calls, 24 h", align: "end", render: (row) => number(row.calls) },
  ],
});
