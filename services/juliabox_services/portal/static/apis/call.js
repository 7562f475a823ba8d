// A test call of a published function, and how a program makes one.
import { Fault, page, post } from "../api.js";
import { alertBox, busy, fill, h } from "../dom.js";
import { bytes } from "../format.js";
import { copy } from "../token_form.js";
import { duration, signature } from "./words.js";

const WHO = {
  public: "Everybody may call it, without a token.",
  users: "Whoever has an account here may call it, with a token of their own.",
  listed: "Those on its list may call it, with a token of their own.",
  token: "It is called with a token of this API alone, which its publisher gives out.",
};
const PICTURES = new Set(["image/png", "image/svg+xml"]);

const place = (id) => document.getElementById(id);
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A value as JSON: as it is written if it is JSON, else as a text. */
function asJson(text) {
  const written = text.trim();
  try {
    JSON.parse(written);
    return written;
  } catch {
    return JSON.stringify(text);
  }
}

/** The elements of an array or object that is written in one field, each as JSON. */
function parts(text, kind) {
  if (!text.trim()) return kind === "array" ? [] : {};
  const value = JSON.parse(text);
  if (kind === "array") return value.map((one) => JSON.stringify(one));
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, JSON.stringify(one)]));
}

function argumentField(argument, index, kind) {
  const id = `argument-${kind}-${index}`;
  const type = argument.type === "Any" ? "" : h("span", { class: "jb-soft" }, `::${argument.type}`);
  const input = h("input", { id, class: "form-control", autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: argument.required, "data-kind": kind, "data-name": argument.name, placeholder: argument.required ? "" : "may be left out" });
  return h("div", { class: "jb-field" }, h("label", { for: id }, argument.name, type), input);
}

function moreField(kind, label) {
  const id = `more-${kind}`;
  const input = h("input", { id, class: "form-control", autocomplete: "off", spellcheck: "false", "data-kind": kind, placeholder: kind === "array" ? "[1, 2]" : '{"key": 1}' });
  input.addEventListener("input", () => input.setCustomValidity(valid(input.value, kind) ? "" : `This is no JSON ${kind}.`));
  return h("div", { class: "jb-field" }, h("label", { for: id }, label), input);
}

function valid(text, kind) {
  try {
    if (!text.trim()) return true;
    const value = JSON.parse(text);
    return kind === "array" ? Array.isArray(value) : value !== null && typeof value === "object" && !Array.isArray(value);
  } catch {
    return false;
  }
}

export class Call {
  /** `line` is told of a line of the source that somebody wants to see; null: there is none. */
  constructor(path, line) {
    this.path = path;
    this.line = line;
    this.drawn = "";
    place("function").addEventListener("change", () => this.showFunction());
    place("method").addEventListener("change", () => this.showMethod());
    place("copy-address").addEventListener("click", () => copy(this.address));
    place("openapi").href = `${page.portal_url}${path}/openapi.json`;
    place("try").addEventListener("submit", (event) => {
      event.preventDefault();
      this.call();
    });
    place("try").addEventListener("input", () => this.showProgram());
  }

  show({ detail, host, url }) {
    if (!detail) return;
    this.base = host || location.origin;
    this.address = `${this.base}${url}`;
    this.url = url;
    this.access = detail.version.options.access;
    place("address").textContent = this.address;
    place("who").textContent = WHO[this.access];
    const wanted = JSON.stringify(detail.version.functions);
    if (wanted === this.drawn) return;
    this.drawn = wanted;
    this.functions = detail.version.functions;
    const chosen = place("function").value;
    fill(place("function"), ...this.functions.map((one) => h("option", { value: one.name, selected: one.name === chosen }, one.name)));
    this.showFunction();
  }

  get function() {
    return this.functions.find((one) => one.name === place("function").value) ?? this.functions[0];
  }

  showFunction() {
    const { name, methods, doc } = this.function;
    fill(place("method"), ...methods.map((method, index) => h("option", { value: String(index) }, signature(name, method))));
    place("documentation").textContent = doc;
    place("documentation").hidden = !doc.trim();
    this.showMethod();
  }

  showMethod() {
    const method = this.function.methods[Number(place("method").value)] ?? { arguments: [], keywords: [], more: true, more_keywords: false };
    fill(
      place("arguments"),
      ...method.arguments.map((one, index) => argumentField(one, index, "positional")),
      method.more ? moreField("array", "Further arguments") : null,
      ...method.keywords.map((one, index) => argumentField(one, index, "keyword")),
      method.more_keywords ? moreField("object", "Further keywords") : null,
    );
    place("arguments").hidden = !place("arguments").children.length;
    this.showProgram();
  }

  /** What the fields have, as JSON texts. */
  given() {
    const fields = [...place("arguments").querySelectorAll("input")];
    const of = (kind) => fields.filter((one) => one.dataset.kind === kind && one.value !== "");
    const further = (kind) => fields.find((one) => one.dataset.kind === kind)?.value ?? "";
    const named = of("keyword").map((one) => [one.dataset.name, asJson(one.value)]);
    return {
      arguments: [...of("positional").map((one) => asJson(one.value)), ...parts(further("array"), "array")],
      keywords: { ...Object.fromEntries(named), ...parts(further("object"), "object") },
    };
  }

  /** The command of what the fields have now; the service answers the exact one of a call. */
  showProgram(made = null) {
    if (!made) {
      const of = (kind) => [...place("arguments").querySelectorAll(`[data-kind="${kind}"]`)];
      const path = [this.function.name, ...of("positional").map((one) => encodeURIComponent(one.value || `<${one.dataset.name}>`).replace(/%3C|%3E/g, (code) => (code === "%3C" ? "<" : ">")))];
      const named = of("keyword").filter((one) => one.value).map((one) => `${encodeURIComponent(one.dataset.name)}=${encodeURIComponent(one.value)}`);
      made = { address: path.join("/") + (named.length ? `?${named.join("&")}` : ""), body: "" };
    }
    const token = this.access === "public" ? "" : ` -H "Authorization: token $TOKEN"`;
    const body = made.body ? ` -H 'Content-Type: application/json' -d ${quoted(made.body)}` : "";
    place("program").textContent = `curl${token}${body} ${quoted(this.address + made.address)}`;
  }

  async call() {
    const button = place("try").querySelector("button");
    const name = this.function.name;
    fill(place("result"), h("p", { class: "jb-card jb-hint" }, "It is being carried out …"));
    try {
      const tried = await busy(button, () => post(`${this.path}/try/${encodeURIComponent(name)}`, this.given()));
      fill(place("result"), this.result(tried));
      this.showProgram(tried);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      fill(place("result"), alertBox("danger", `${error.message} `, h("code", {}, error.code)));
    }
  }

  result(tried) {
    const good = tried.status < 400;
    const facts = [`${duration(tried.seconds)}`, tried.type, tried.cut ? "cut" : "", tried.request && `call ${tried.request.slice(0, 8)}`].filter(Boolean);
    return h(
      "section",
      { class: "jb-card jb-stack jb-outcome", "aria-label": "Answer" },
      h("div", { class: "jb-row jb-tight" }, h("span", { class: `jb-state ${good ? "jb-on" : "jb-bad"}` }, String(tried.status)), h("span", { class: "jb-hint" }, facts.join(" · "))),
      good ? this.content(tried) : this.fault(tried),
    );
  }

  content({ type, text, data }) {
    const source = `data:${type || "application/octet-stream"};base64,${data}`;
    // a picture in an `img` runs nothing, whatever it has inside
    if (PICTURES.has(type)) return h("img", { class: "jb-picture", alt: "The picture that the function gave", src: source });
    if (data) return h("p", {}, h("a", { class: "btn btn-outline-contrast", href: source, download: `${this.function.name}.bin` }, `Download ${bytes(Math.floor(data.length * 0.75))}`));
    return h("pre", { class: "jb-code-block", tabindex: "0", "aria-label": "Result" }, text);
  }

  fault(tried) {
    let told = null;
    try {
      told = JSON.parse(tried.text);
    } catch {
      return this.content(tried);
    }
    const frames = (told?.frames ?? []).map((frame) => {
      const label = `${frame.function}, line ${frame.line}`;
      return h("li", {}, this.line ? h("button", { type: "button", class: "btn btn-link jb-inline", onclick: () => this.line(frame.line) }, label) : label);
    });
    return h("div", { class: "jb-stack" }, h("p", { class: "jb-lines" }, String(told?.message ?? ""), " ", h("code", {}, String(told?.code ?? ""))), frames.length ? h("ul", { class: "jb-plain" }, ...frames) : null);
  }
}
