// One API: what it is, and the tabs of what can be done with it.
import { attempt, data, get, keepFresh, page, post, remove } from "../api.js";
import { alertBox, busy, confirmed, fill, h, icon } from "../dom.js";
import { number } from "../format.js";
import { handleTokens } from "../token_form.js";
import { Call } from "./call.js";
import { accessChip, mayStart, stateBadge } from "./words.js";

const first = data();
const name = `${first.publisher}/${first.api}`;
const path = `api/apis/${encodeURIComponent(first.publisher)}/${encodeURIComponent(first.api)}`;
const place = (id) => document.getElementById(id);
/** What shows a page's data, in the order of the tabs. */
const views = [];

function show(now) {
  const summary = now.detail?.summary;
  const containers = summary && (summary.containers === 1 ? "1 container" : `${number(summary.containers)} containers`);
  fill(place("state"), ...(summary ? [stateBadge(summary), accessChip(summary.access), h("span", { class: "jb-hint" }, `version ${summary.active}`, now.mine ? ` · ${containers}` : "")] : [h("span", { class: "jb-state" }, "not published yet")]));
  place("description").textContent = summary?.description ?? "";
  place("description").hidden = !summary?.description;
  if (now.mine && summary) showActions(summary, now.changes);
  for (const view of views) view.show(now);
}

let shownActions = "";

function showActions(summary, changes) {
  const wanted = `${summary.stopped} ${changes}`;
  if (shownActions === wanted) return;
  shownActions = wanted;
  const byAdmin = summary.stopped === "admin" && !page.me.admin ? "An admin stopped it" : null;
  const forbidden = changes ? byAdmin : "You are no publisher any more";
  const turn = summary.stopped
    ? h("button", { type: "button", class: "btn btn-primary", disabled: forbidden !== null, title: forbidden, onclick: () => start(summary, turn) }, icon("play-fill"), " Start")
    : h("button", { type: "button", class: "btn btn-outline-danger", onclick: () => stop(turn, changes) }, icon("stop-fill"), " Stop");
  const away = changes && h("button", { type: "button", class: "btn btn-outline-contrast", disabled: byAdmin !== null, title: byAdmin, onclick: () => takeAway(away) }, icon("trash"), " Remove");
  fill(place("actions"), turn, away);
}

async function stop(button, changes) {
  const text = `Calls are refused until ${changes ? "it is started" : "an admin starts it"} again. Its versions stay.`;
  if (!(await confirmed({ title: `Stop ${name}?`, text, action: "Stop" }))) return;
  await busy(button, () => attempt(async () => show(await post(`${path}/stop`, {})), "It answers no calls now."));
}

async function start(summary, button) {
  if (!(await mayStart(summary))) return;
  await busy(button, () => attempt(async () => show(await post(`${path}/start`, {})), "It answers calls again."));
}

async function takeAway(button) {
  const text = "All its versions, its log and its figures go, and programs that call it are refused. This cannot be undone.";
  if (!(await confirmed({ title: `Remove ${name}?`, text, action: "Remove" }))) return;
  if (await busy(button, () => attempt(() => remove(path)))) location.assign(`${page.portal_url}apis`);
}

/** Bring a tab to the front, and keep it in the address. */
function openTab(tab) {
  if (place(`${tab}-tab`)) window.bootstrap.Tab.getOrCreateInstance(place(`${tab}-tab`)).show();
}

function tabs() {
  for (const tab of document.querySelectorAll(".jb-tabs [role=tab]")) {
    tab.addEventListener("shown.bs.tab", () => {
      history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
      tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
  }
  const follow = () => openTab(location.hash.slice(1));
  addEventListener("hashchange", follow);
  if (location.hash) follow();
}

async function owners() {
  const [{ Source }, { Versions }, { followLog }, { followUse }] = await Promise.all([import("./source.js"), import("./versions.js"), import("./log.js"), import("./use.js")]);
  // a first version brings tabs that the page lacks
  const saved = () => (first.detail ? refresh() : location.reload());
  const source = new Source(path, saved);
  place("source-tab").addEventListener("shown.bs.tab", () => source.editor.refresh());
  views.push(source);
  if (!first.detail) return null;
  views.push(new Versions(path, show));
  followLog(path);
  followUse(path);
  return (line) => {
    place("source-tab").addEventListener("shown.bs.tab", () => source.editor.show(line), { once: true });
    openTab("source");
  };
}

function showTokens() {
  const tokens = handleTokens({
    path: `${path}/tokens`,
    form: place("new-token"),
    made: place("made"),
    list: place("token-list"),
    none: ["key", "No tokens of this API", "Make one for each program that calls it."],
    scopes: false,
  });
  place("tokens-tab").addEventListener("shown.bs.tab", tokens.refresh);
}

const refresh = () => attempt(async () => show(await get(path)));

async function draw() {
  const line = first.mine ? await owners() : null;
  if (first.detail) {
    views.push(new Call(path, line));
    showTokens();
  }
  show(first);
  tabs();
  const lost = (fault) => fill(place("degraded"), fault ? alertBox("warning", `${fault.message} What you see may be old. (${fault.code})`) : null);
  if (first.detail) keepFresh(path, () => 10, show, lost);
  document.documentElement.dataset.ready = page.name;
}

draw();
