// Periodic tasks and their last results.
import { h } from "../dom.js";
import { span, when } from "../format.js";
import { DataTable, badge } from "./table.js";

const TONES = { succeeded: "on", running: "waiting", failed: "bad", timeout: "bad" };

/** A sentence as it is; data behind a click, one value in each line as far as it is whole. */
function result(row) {
  if (!row.result.startsWith("{")) return row.result;
  let text = row.result;
  try {
    text = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // it was cut: then as it came
  }
  return h("details", { class: "jb-result" }, h("summary", {}, "what it told"), h("pre", {}, text));
}

new DataTable({
  api: "api/admin/tasks",
  what: "Tasks",
  sort: "name",
  refresh: 15,
  rows: (data) => data.tasks,
  none: ["list-check", "No tasks", "Plugins of the mount point `task` bring them."],
  columns: [
    { field: "name", label: "Task" },
    { field: "kind", label: "Runs", render: (row) => [h("span", { class: "jb-chip" }, row.kind), ` ${row.schedule}`] },
    { field: "state", label: "Last result", wide: true, render: (row) => [badge(row.state, TONES[row.state]), " ", result(row), row.code ? h("code", {}, ` ${row.code}`) : ""] },
    { field: "last_run", label: "Last run", render: (row) => when(row.last_run) },
    { field: "duration", label: "Took", align: "end", render: (row) => (row.duration === null ? "–" : row.duration < 10 ? `${row.duration.toFixed(1)} s` : span(row.duration)) },
    { field: "next_run", label: "Next run", render: (row) => when(row.next_run, "–") },
    { field: "instance", label: "Instance" },
  ],
});
