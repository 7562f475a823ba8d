// The volumes of everybody.
import { bytes, dateTime } from "../format.js";
import { DataTable, badge } from "./table.js";

const TONES = { mounted: "on", stuck: "bad", quarantined: "bad", removed: "waiting" };

new DataTable({
  api: "api/admin/volumes",
  what: "Volumes",
  remote: true,
  sort: "owner",
  rows: (data) => data.volumes,
  none: ["hdd", "No volumes yet", "A home is made when a person's first session starts."],
  columns: [
    { field: "owner", label: "Owner" },
    { field: "kind", label: "Kind" },
    { field: "state", label: "State", render: (row) => [badge(row.state, TONES[row.state]), row.delete_after === null ? "" : ` until ${dateTime(row.delete_after)}`] },
    { field: "size", label: "Size", align: "end", render: (row) => (row.size === null ? "no bound" : bytes(row.size)) },
    { field: "allocated", label: "On the host", align: "end", render: (row) => (row.allocated === null ? "–" : bytes(row.allocated)) },
    { field: "sessions", label: "Sessions", sort: false, align: "end", render: (row) => String(row.sessions.length) },
    { field: "instance", label: "Instance" },
    { field: "volume", label: "Name" },
  ],
});
