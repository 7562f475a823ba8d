// Everybody with an account.
import { page } from "../api.js";
import { h } from "../dom.js";
import { when } from "../format.js";
import { DataTable, badge, chips } from "./table.js";

const pending = h("a", { class: "btn btn-outline-contrast", href: `${page.hub_url}authorize`, hidden: true });

new DataTable({
  api: "api/admin/users",
  what: "Users",
  remote: true,
  sort: "name",
  rows: (data) => data.users,
  none: ["people", "No users yet", "Add one on the hub's admin page, or with `juliabox user add`."],
  bar: [pending, h("a", { class: "btn btn-outline-contrast", href: `${page.hub_url}admin` }, "Manage on the hub")],
  above: (data) => {
    pending.hidden = data.pending === 0;
    pending.textContent = `${data.pending} waiting for approval`;
  },
  columns: [
    { field: "name", label: "Name" },
    { field: "state", label: "State", sort: false, render: (row) => (row.state === "pending" ? badge("waits for approval", "waiting") : badge("active", "on")) },
    { field: "roles", label: "Roles", sort: false, render: (row) => chips(row.roles) },
    { field: "groups", label: "Groups", sort: false, render: (row) => chips(row.groups) },
    { field: "servers", label: "Sessions", align: "end" },
    { field: "created", label: "Since", render: (row) => when(row.created, "–") },
    { field: "last_activity", label: "Last activity", render: (row) => when(row.last_activity) },
  ],
});
