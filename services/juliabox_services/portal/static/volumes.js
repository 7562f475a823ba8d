// Cards of volumes, on a person's pages.
import { h, icon } from "./dom.js";
import { bytes } from "./format.js";
import { oneGauge } from "./gauge.js";

const STATES = {
  idle: "not in use",
  mounted: "in use",
  stuck: "busy: it cannot be released now; the operator has been told",
  quarantined: "set aside after an error; ask the operator of this service",
  removed: "removed",
};

export function volumeCard(volume) {
  const servers = volume.servers.map((server) => server || "my session").join(", ");
  const state = volume.state === "mounted" && servers ? `in use by ${servers}` : STATES[volume.state];
  const use =
    volume.used === null
      ? h("p", { class: "jb-hint" }, volume.size === null ? "No bound." : `${bytes(volume.size)}; what is used shows while a session runs.`)
      : oneGauge("disk", { used: volume.used, limit: volume.size }, "Used");
  return h(
    "article",
    { class: "jb-card jb-volume", "aria-label": volume.label },
    h("h3", {}, icon("hdd"), ` ${volume.label}`),
    h("p", { class: "jb-hint" }, h("code", {}, volume.path), ` · ${state}`),
    use,
  );
}
