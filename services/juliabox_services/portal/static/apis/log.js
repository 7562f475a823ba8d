// The log of an API: what its functions printed, which calls failed, and news of its containers.
import { get } from "../api.js";
import { empty, fill, h } from "../dom.js";
import { dateTime } from "../format.js";
import { whileShown } from "./shown.js";

const AT_A_TIME = 200;
const MOST = 600;
const SECONDS = 4;

const box = document.getElementById("lines");
const state = document.getElementById("log-state");
const failed = document.getElementById("failed-only");

let lines = [];
let last = 0;

function line(one) {
  const bad = one.status >= 400;
  const status = one.status ? h("span", { class: `jb-state ${bad ? "jb-bad" : "jb-on"}` }, String(one.status)) : h("span", { class: "jb-chip" }, one.kind);
  const what = [one.function ? h("code", {}, one.function) : "", ` version ${one.version}`, one.request ? ` · call ${one.request.slice(0, 8)}` : ""];
  return h(
    "li",
    { class: "jb-log-line", "data-number": one.number },
    h("div", { class: "jb-row jb-tight" }, h("time", { datetime: new Date(one.time * 1000).toISOString(), class: "jb-soft", title: dateTime(one.time) }, new Date(one.time * 1000).toLocaleTimeString()), status, h("span", { class: "jb-hint" }, ...what)),
    one.text ? h("pre", {}, one.text.trimEnd()) : null,
  );
}

function draw() {
  const shown = lines.filter((one) => !failed.checked || one.status >= 400);
  const rows = shown.toReversed().map(line);
  fill(box, rows.length ? h("ol", { class: "jb-log", tabindex: "0", "aria-label": "Log, newest first" }, ...rows) : empty("list-check", "Nothing to tell", "Calls that print or fail appear here, and news of containers."));
}

async function follow(path) {
  let fresh;
  let news = false;
  do {
    ({ lines: fresh } = await get(`${path}/log?after=${last}&limit=${AT_A_TIME}`));
    for (const one of fresh) last = Math.max(last, one.number);
    lines = [...lines, ...fresh].slice(-MOST);
    news ||= fresh.length > 0;
  } while (fresh.length === AT_A_TIME);
  if (news || !box.children.length) draw();
}

/** Follow the log of the API at a path while its tab is seen. */
export function followLog(path) {
  failed.addEventListener("change", draw);
  whileShown("log", SECONDS, () => follow(path), (fault) => (state.textContent = fault ? `${fault.message} (${fault.code})` : ""));
}
