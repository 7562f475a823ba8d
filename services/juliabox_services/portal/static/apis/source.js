// The source of an API and what it is published with: checked, and saved as a new version.
import { Fault, get, post, put } from "../api.js";
import { alertBox, busy, fill, h, toast } from "../dom.js";
import { Editor } from "./editor.js";
import { listed, signature, words } from "./words.js";

const SAMPLE = `"The n-th Fibonacci number."
function fib(n::Integer)
    a, b = big(0), big(1)
    for _ in 1:n
        a, b = b, a + b
    end
    a
end
`;
/** Codes of requests after a log-in has ended, before and after the next one. */
const LOGGED_OUT = new Set(["portal.login", "http.403"]);
const MIB = 1024 ** 2;
const NUMBERS = ["timeout", "minimum", "maximum", "workers", "recycle_calls", "rate"];
const LISTS = ["users", "groups", "origins", "idempotent"];
const DEFAULTS = { description: "", access: "users", users: [], groups: [], timeout: null, memory: null, minimum: 0, maximum: null, workers: 1, recycle_calls: 100000, rate: null, origins: [], cache: "", content: [], idempotent: [] };

/** Say what came of a save. */
function outcome({ unchanged, summary: { active, newest, stopped } }) {
  const refused = "calls are refused until it is started.";
  if (unchanged) return `Nothing is new: version ${active} has this source and these settings${stopped ? `; ${refused}` : ", and answers."}`;
  return stopped ? `Version ${newest} is saved; ${refused}` : `Version ${newest} answers now.`;
}

const field = (id) => document.getElementById(id);

export class Source {
  /** `saved` is told of the service's answer to a save. */
  constructor(path, saved) {
    this.path = path;
    this.saved = saved;
    this.form = field("edit");
    this.problem = field("problem");
    this.editor = new Editor(field("code"), field("functions"));
    this.dirty = false;
    this.edits = 0;
    this.form.addEventListener("input", () => this.edited());
    field("code").addEventListener("edited", () => this.edited());
    field("access").addEventListener("change", () => this.showAccess());
    field("check").addEventListener("click", () => this.check());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    // a field that is wrong must be seen
    this.form.addEventListener("invalid", (event) => event.target.closest("details")?.setAttribute("open", ""), true);
    addEventListener("beforeunload", (event) => this.dirty && event.preventDefault());
  }

  edited() {
    this.dirty = true;
    this.edits += 1;
  }

  /** Show a page's data; what somebody is writing stays. */
  show({ detail, bounds }) {
    field("save").querySelector("span").textContent = detail ? `Publish version ${detail.summary.newest + 1}` : "Publish";
    field("timeout").placeholder = String(bounds.timeout);
    field("timeout").max = String(bounds.longest_timeout);
    field("memory").placeholder = String(Math.round(bounds.memory / MIB));
    field("memory").max = String(Math.floor(bounds.most_memory / MIB));
    field("maximum").placeholder = String(bounds.containers_per_api);
    field("rate").placeholder = String(bounds.rate);
    const newest = detail?.summary.newest ?? 0;
    // another version that answers is another one to begin with, though none is newer
    const seen = `${newest} ${detail?.summary.active}`;
    if (this.dirty || this.seen === seen) return;
    this.seen = seen;
    this.after = newest;
    this.fill(detail?.version ?? null);
  }

  /** Put a version's source and options into the form. */
  fill(version) {
    const options = version?.options ?? DEFAULTS;
    this.editor.value = version ? version.source : SAMPLE;
    field("functions").value = version ? version.functions.map((one) => one.name).join(" ") : "fib";
    field("about").value = options.description;
    field("access").value = options.access;
    for (const name of NUMBERS) field(name).value = options[name] ?? "";
    for (const name of LISTS) field(name).value = listed(options[name]);
    field("memory").value = options.memory === null ? "" : Math.round(options.memory / MIB);
    field("cache").value = options.cache;
    for (const box of field("content").querySelectorAll("input")) box.checked = options.content.includes(box.value);
    field("why").value = "";
    fill(this.problem);
    this.showAccess();
    this.dirty = false;
  }

  showAccess() {
    for (const place of this.form.querySelectorAll("[data-access]")) place.hidden = place.dataset.access !== field("access").value;
  }

  options() {
    const numbers = Object.fromEntries(NUMBERS.map((name) => [name, field(name).value === "" ? null : field(name).valueAsNumber]));
    const lists = Object.fromEntries(LISTS.map((name) => [name, words(field(name).value)]));
    const memory = field("memory").value === "" ? null : Math.round(field("memory").valueAsNumber * MIB);
    const content = [...field("content").querySelectorAll("input:checked")].map((box) => box.value);
    return { description: field("about").value, access: field("access").value, cache: field("cache").value, memory, content, ...numbers, ...lists };
  }

  functions() {
    return words(field("functions").value);
  }

  async check() {
    this.editor.clear();
    const body = { source: this.editor.value, functions: this.functions() };
    await this.told(async () => {
      const found = await busy(field("check"), () => post("api/apis/check", body));
      if (found.code) this.tell(found.message, found.code, found.frames, found.printed);
      else this.praise(found);
    });
  }

  async save() {
    this.editor.clear();
    const body = { source: this.editor.value, functions: this.functions(), options: this.options(), note: field("why").value.trim(), after: this.after ?? 0 };
    const { edits } = this;
    await this.told(async () => {
      const detail = await busy(field("save"), () => put(this.path, body));
      this.dirty = this.edits > edits; // what was written meanwhile is not in it, and stays
      if (this.dirty) this.after = detail.summary.newest;
      else this.seen = undefined;
      toast("success", outcome(detail));
      this.saved(detail);
    });
  }

  /** Tell of a version that came from elsewhere; who saves once more has seen it. */
  async overtaken(fault) {
    const { detail } = await get(this.path);
    this.after = detail?.summary.newest ?? 0;
    const saved = detail?.versions.find((one) => one.version === this.after);
    const news = saved ? `Version ${saved.version} was saved by ${saved.saved_by} meanwhile. See under Versions what it changed.` : "This API was removed meanwhile.";
    this.tell(`${news} What you wrote is still here: publish it once more to go on with it.`, fault.code, [], "");
  }

  /** Do something and tell of its failure above the source, where it stays. */
  async told(work) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (error.code === "api.changed") return this.told(() => this.overtaken(error));
      // no script gets what a page of the next log-in has to show, so this one cannot go on
      const over = LOGGED_OUT.has(error.code) ? ". Copy what you wrote, and load this page again." : "";
      this.tell(error.message + over, error.code, error.body?.frames ?? [], error.body?.output ?? "");
    }
  }

  /** Tell what is wrong with the source, at its line too. */
  tell(message, code, frames, printed) {
    const first = frames[0];
    const way = first ? h("button", { type: "button", class: "btn btn-link jb-inline", onclick: () => this.editor.show(first.line) }, `Line ${first.line}`) : null;
    fill(
      this.problem,
      alertBox("danger", h("p", { class: "jb-lines" }, way, way ? ": " : "", message, " ", h("code", {}, code)), printed ? h("pre", { class: "jb-printed", tabindex: "0", "aria-label": "What it printed" }, printed) : null),
    );
    this.editor.tell(message, frames);
    if (!first) this.problem.scrollIntoView({ block: "nearest" });
  }

  praise(found) {
    const lines = found.functions.flatMap((one) => one.methods.map((method) => h("li", {}, h("code", {}, signature(one.name, method)))));
    fill(this.problem, alertBox("success", h("p", {}, "It loads. Programs can call:"), h("ul", { class: "jb-plain" }, ...lines)));
    this.problem.scrollIntoView({ block: "nearest" });
  }
}
