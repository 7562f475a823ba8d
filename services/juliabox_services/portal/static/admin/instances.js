// Machines and their load.
import { data, keepFresh, page } from "../api.js";
import { empty, fill, h, icon } from "../dom.js";
import { bytes, number } from "../format.js";
import { oneGauge } from "../gauge.js";
import { badge } from "./table.js";

const box = document.getElementById("instances");

function fact(label, value) {
  return value ? [h("dt", {}, label), h("dd", {}, value)] : [];
}

function card(one) {
  const fresh = one.images_fresh === null ? "" : one.images_fresh ? "up to date" : "older than this version";
  const sessions = one.sessions_limit === null ? number(one.sessions) : `${number(one.sessions)} of ${number(one.sessions_limit)}`;
  return h(
    "article",
    { class: "jb-card jb-instance", "aria-label": `Instance ${one.name}` },
    h("div", { class: "jb-row jb-tight" }, h("h2", {}, icon("hdd-stack"), ` ${one.name}`), badge(one.state, one.state === "ready" ? "on" : "bad"), one.leader ? h("span", { class: "jb-chip" }, "leader") : null),
    one.sessions_limit === null ? null : oneGauge("pids", { used: one.sessions, limit: one.sessions_limit }, "Sessions"),
    one.memory_promised === null ? null : oneGauge("memory", { used: one.memory_promised, limit: one.memory_total }, "Memory promised"),
    h(
      "dl",
      { class: "jb-facts" },
      ...fact("Sessions", sessions),
      ...fact("Load", one.load === null ? "" : `${Math.round(one.load * 100)} %`),
      ...fact("Disk free", one.disk_free === null ? "" : bytes(one.disk_free)),
      ...fact("Room for volumes", one.volumes_used === null ? "" : `${Math.round(one.volumes_used)} % taken`),
      ...fact("Engine", one.engine && `Docker ${one.engine}`),
      ...fact("Images", fresh),
      ...fact("Public host", one.public_host),
      ...fact("Local host", one.local_host),
      ...fact("Compute plugin", one.provider),
    ),
    ...warm(one.pools),
  );
}

function shown(pool) {
  const figures = [`${number(pool.ready)} of ${number(pool.wanted)} ready`];
  if (pool.loading) figures.push(`${number(pool.loading)} being made`);
  figures.push(`${number(pool.claimed)} taken`, `${number(pool.missed)} missed`);
  if (pool.failed) figures.push(`${number(pool.failed)} failed`);
  figures.push(bytes(pool.memory));
  return [
    h("dt", {}, pool.image),
    h("dd", {}, figures.join(", "), pool.reason ? h("div", { class: "jb-note" }, pool.reason) : null),
  ];
}

/** Warm containers that wait for people. */
function warm(pools) {
  if (!pools || !pools.length) return [];
  return [h("h3", {}, "Warm containers"), h("dl", { class: "jb-facts" }, ...pools.flatMap(shown))];
}

function show({ instances }) {
  fill(box, instances.length ? instances.map(card) : empty("hdd-stack", "No instances are known", "No compute plugin answers."));
}

show(data());
keepFresh("api/admin/instances", () => 10, show);
document.documentElement.dataset.ready = page.name;
