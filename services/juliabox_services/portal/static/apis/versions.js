// The versions of an API: compared, and made to answer.
import { attempt, get, post } from "../api.js";
import { busy, confirmed, empty, fill, h, icon } from "../dom.js";
import { bytes, when } from "../format.js";
import { compare, shortened } from "./difference.js";

const list = document.getElementById("version-list");
const place = document.getElementById("difference");
const SIGNS = { same: " ", gone: "−", new: "+" };
const WORDS = { gone: "taken away: ", new: "added: " };

export class Versions {
  /** `changed` is told of the page's data after another version was made to answer. */
  constructor(path, changed) {
    this.path = path;
    this.changed = changed;
    this.kept = new Map();
    this.drawn = "";
  }

  show({ detail }) {
    if (!detail) return;
    this.detail = detail;
    this.kept.set(detail.version.version, detail.version);
    const wanted = JSON.stringify([detail.summary.active, detail.changes, detail.versions]);
    if (wanted === this.drawn) return;
    this.drawn = wanted;
    fill(list, ...detail.versions.toSorted((one, two) => two.version - one.version).map((one) => this.item(one)));
    fill(place);
  }

  item(one) {
    const active = one.version === this.detail.summary.active;
    const look = h("button", { type: "button", class: "btn btn-sm btn-outline-contrast", "aria-label": `${active ? "Show" : "Compare"} version ${one.version}`, onclick: () => this.look(one.version, look) }, active ? "Show" : "Compare");
    const use = active || !this.detail.changes ? null : h("button", { type: "button", class: "btn btn-sm btn-outline-contrast", "aria-label": `Let version ${one.version} answer`, onclick: () => this.activate(one.version, use) }, icon("arrow-clockwise"), " Let it answer");
    return h(
      "li",
      { class: "jb-item" },
      h(
        "div",
        { class: "jb-grow" },
        h("p", { class: "jb-row jb-tight" }, h("strong", {}, `Version ${one.version}`), active ? h("span", { class: "jb-state jb-on" }, "answers") : null),
        one.note ? h("p", { class: "jb-lines" }, one.note) : null,
        h("p", { class: "jb-hint" }, "Saved ", when(one.saved), ` by ${one.saved_by} · ${bytes(one.bytes)} · `, one.functions.join(", ")),
      ),
      h("div", { class: "jb-row" }, look, use),
    );
  }

  async version(number) {
    if (!this.kept.has(number)) this.kept.set(number, await get(`${this.path}/versions/${number}`));
    return this.kept.get(number);
  }

  async look(number, button) {
    await busy(button, () =>
      attempt(async () => {
        const active = this.detail.summary.active;
        const [wanted, now] = [await this.version(number), await this.version(active)];
        fill(place, number === active ? listing(`Version ${number}`, wanted.source) : difference(now, wanted));
        place.scrollIntoView({ block: "nearest" });
      }),
    );
  }

  async activate(number, button) {
    const text = "Calls that are under way end on the version that they began with; none is lost.";
    if (!(await confirmed({ title: `Let version ${number} answer?`, text, action: "Let it answer", danger: false }))) return;
    await busy(button, () => attempt(async () => this.changed(await post(`${this.path}/activate`, { version: number })), this.detail.summary.stopped ? `Version ${number} answers when it is started.` : `Version ${number} answers now.`));
  }
}

function listing(title, source) {
  return h("section", { class: "jb-card jb-stack", "aria-label": title }, h("h2", {}, title), h("pre", { class: "jb-code-block", tabindex: "0", "aria-label": `Source of ${title.toLowerCase()}` }, source));
}

function difference(now, wanted) {
  const title = `From version ${now.version} to version ${wanted.version}`;
  const lines = shortened(compare(now.source, wanted.source));
  const options = optionChanges(now.options, wanted.options);
  const same = lines.every((line) => line === null);
  return h(
    "section",
    { class: "jb-card jb-stack", "aria-label": title },
    h("h2", {}, title),
    options.length ? h("ul", { class: "jb-plain" }, ...options) : null,
    same ? (options.length ? null : empty("check-lg", "They do not differ")) : h("pre", { class: "jb-code-block jb-difference", tabindex: "0", "aria-label": title }, ...lines.map(shownLine)),
  );
}

function shownLine(line) {
  if (line === null) return h("span", { class: "jb-diff-line jb-diff-gap" }, "⋯\n");
  const number = String(line.fresh ?? line.old).padStart(4);
  const words = WORDS[line.kind] ? h("span", { class: "visually-hidden" }, WORDS[line.kind]) : null;
  return h("span", { class: `jb-diff-line jb-diff-${line.kind}` }, words, h("span", { class: "jb-diff-number", "aria-hidden": "true" }, `${number} ${SIGNS[line.kind]} `), `${line.text}\n`);
}

function optionChanges(before, after) {
  const shown = (value) => h("code", {}, value === "" ? "–" : typeof value === "string" ? value : JSON.stringify(value));
  return Object.keys(after)
    .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
    .map((name) => h("li", {}, `${name}: `, shown(before[name]), " → ", shown(after[name])));
}
