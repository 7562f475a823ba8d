// The card of one session. It is made once and updated in place, so that focus and readers stay.
import { attempt, post } from "./api.js";
import { defaults } from "./defaults.js";
import { busy, confirmed, h, icon } from "./dom.js";
import { relative, span, when } from "./format.js";
import { makeGauges } from "./gauge.js";
import { chooseProfile } from "./profiles.js";

const SYMBOLS = { lab: "window-stack", notebook: "journal-code", files: "folder", terminal: "terminal", frame: "box-arrow-up-right" };
const TONES = { running: "jb-on", starting: "jb-waiting", stopping: "jb-waiting", stopped: "" };

/** What stops a session, and when, in a sentence. */
export function timeLeft(session, fetched) {
  if (session.state !== "running") return "";
  if (session.time_left === null) return "Nothing stops it but you.";
  const left = span(session.time_left - (Date.now() / 1000 - fetched));
  if (session.time_left_why === "idle") return `Stops in ${left} unless you use it: an idle session ends after ${span(session.time_limit)}.`;
  return `Stops in ${left}: a session may last ${span(session.time_limit)}.`;
}

export class SessionCard {
  constructor(session, actions) {
    this.actions = actions;
    this.state = h("span", { class: "jb-state" });
    this.profile = h("span", { class: "jb-chip" });
    this.title = h("h2", { id: `session-${session.server || "default"}` });
    this.facts = h("p", { class: "jb-hint jb-facts" });
    this.clock = h("p", { class: "jb-clock" });
    this.ending = h("p", { class: "jb-ending" });
    this.stage = h("span", {});
    this.bar = h("div", { class: "progress-bar" });
    this.meter = h("div", { class: "progress", role: "progressbar", "aria-label": "Start", "aria-valuemin": "0", "aria-valuemax": "100" }, this.bar);
    this.progress = h("div", { class: "jb-start", role: "status" }, this.stage, this.meter);
    this.gauges = makeGauges();
    this.links = h("div", { class: "jb-links" });
    this.start = h("button", { type: "button", class: "btn btn-primary", onclick: () => this.doStart() }, icon("play-fill"), " Start");
    this.stop = h("button", { type: "button", class: "btn btn-outline-danger", onclick: () => this.doStop() }, icon("stop-fill"), " Stop");
    this.forget = h("button", { type: "button", class: "btn btn-outline-contrast", onclick: () => this.doRemove() }, icon("trash"), " Remove");
    this.element = h(
      "article",
      { class: "jb-card jb-session-card", "aria-labelledby": this.title.id, "data-server": session.server },
      h(
        "div",
        { class: "jb-session-head" },
        h("div", {}, h("div", { class: "jb-row jb-tight" }, this.title, this.state, this.profile), this.facts),
        h("div", { class: "jb-row" }, this.start, this.stop, this.forget),
      ),
      this.progress,
      this.ending,
      this.links,
      this.gauges.element,
      this.clock,
    );
    this.update(session);
  }

  update(session) {
    this.session = session;
    this.fetched = Date.now() / 1000;
    this.title.textContent = session.label;
    this.state.textContent = session.state;
    this.state.className = `jb-state ${TONES[session.state]}`;
    this.profile.textContent = session.profile_label;
    this.profile.hidden = !session.profile_label;
    this.progress.hidden = session.state !== "starting";
    this.stage.textContent = session.stage || "Asking the hub";
    this.bar.style.width = `${session.progress ?? 0}%`;
    this.meter.setAttribute("aria-valuenow", String(session.progress ?? 0));
    this.ending.textContent = session.ending;
    this.ending.hidden = !session.ending || session.state !== "stopped";
    this.gauges.update(session.gauges);
    this.start.hidden = !session.can_start;
    this.stop.hidden = !session.can_stop;
    this.stop.disabled = session.state === "stopping";
    this.forget.hidden = !session.can_remove;
    this.start.setAttribute("aria-label", `Start ${session.label}`);
    this.stop.setAttribute("aria-label", `Stop ${session.label}`);
    this.forget.setAttribute("aria-label", `Remove ${session.label}`);
    this.showLinks();
    this.tick();
  }

  showLinks() {
    const first = defaults().open;
    const links = this.session.links.toSorted((one, two) => (two.kind === first) - (one.kind === first));
    const wanted = JSON.stringify(links);
    this.links.hidden = !links.length;
    if (this.links.dataset.shown === wanted) return;
    this.links.dataset.shown = wanted;
    this.links.replaceChildren(
      ...links.map((link, index) =>
        h("a", { class: `btn ${index ? "btn-outline-contrast" : "btn-primary"}`, href: link.url }, icon(SYMBOLS[link.kind] ?? "box-arrow-up-right"), ` ${link.label}`),
      ),
    );
  }

  tick() {
    const { session } = this;
    const facts = [];
    if (session.started !== null) facts.push(`Started ${relative(session.started)}`);
    if (session.last_activity !== null) facts.push(session.state === "running" ? "last used " : "Last used ", when(session.last_activity));
    if (session.state === "running" && facts.length === 3) facts.splice(1, 0, ", ");
    if (!facts.length) facts.push(session.state === "stopped" ? "Your files stay when it stops." : "");
    this.facts.replaceChildren(...facts);
    const clock = timeLeft(session, this.fetched);
    this.clock.hidden = !clock;
    this.clock.classList.toggle("jb-soon", session.time_left !== null && session.time_left < 600);
    this.clock.replaceChildren(icon("clock"), ` ${clock}`);
  }

  async doStart() {
    const profile = await chooseProfile(this.session, this.actions.home());
    if (profile === null) return;
    await busy(this.start, () => attempt(() => post("api/servers/start", { server: this.session.server, profile })));
    this.actions.refresh();
  }

  async doStop() {
    const { label, server } = this.session;
    const text = "What runs in it ends, and variables are lost. Your files stay.";
    if (defaults().confirm && !(await confirmed({ title: `Stop ${label}?`, text, action: "Stop" }))) return;
    await busy(this.stop, () => attempt(() => post("api/servers/stop", { server })));
    this.actions.refresh();
  }

  async doRemove() {
    const { label, server } = this.session;
    const text = "Its name goes from this list. Your files stay: all your sessions share them.";
    if (!(await confirmed({ title: `Remove ${label}?`, text, action: "Remove" }))) return;
    await busy(this.forget, () => attempt(() => post("api/servers/remove", { server })));
    this.actions.refresh();
  }
}
