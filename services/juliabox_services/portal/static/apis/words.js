// What the pages of published APIs call things.
import { confirmed, h } from "../dom.js";

export const ACCESS = { public: "everybody", users: "accounts", listed: "listed people", token: "by token" };
export const STOPPED = { owner: "stopped", admin: "stopped by an admin", gone: "publisher removed" };

export const accessChip = (access) => h("span", { class: "jb-chip" }, ACCESS[access] ?? access);

/** Whether an admin wants to start an API, though its publisher was removed: nobody else may. */
export async function mayStart({ publisher, api, stopped }) {
  const text = `Its publisher was removed. Whoever is called ${publisher} now gets it with its source, versions and log.`;
  return stopped !== "gone" || confirmed({ title: `Start ${publisher}/${api}?`, text, action: "Start" });
}

/** Whether an API answers calls, as a coloured word. */
export function stateBadge(summary) {
  if (summary.stopped) return h("span", { class: "jb-state jb-bad" }, STOPPED[summary.stopped]);
  return h("span", { class: "jb-state jb-on" }, "answers");
}

/** A function's methods, as Julia writes them. */
export function signature(name, method) {
  const one = (argument) => (argument.type === "Any" ? argument.name : `${argument.name}::${argument.type}`);
  const positional = method.arguments.map((argument) => one(argument) + (argument.required ? "" : "=…"));
  if (method.more) positional.push("…");
  const named = method.keywords.map((argument) => one(argument) + (argument.required ? "" : "=…"));
  if (method.more_keywords) named.push("…");
  return `${name}(${positional.join(", ")}${named.length ? `; ${named.join(", ")}` : ""})`;
}

/** A list of words in a field: spaces, commas and lines part them; what has such stands in quotes. */
export const words = (text) => (text.match(/"(?:[^"\\]|\\.)*"|[^\s,;]+/g) ?? []).map(unquoted).filter(Boolean);
export const listed = (names) => names.map((name) => (/[\s,;"]/.test(name) ? JSON.stringify(name) : name)).join(" ");

function unquoted(word) {
  try {
    return word.startsWith('"') ? JSON.parse(word) : word;
  } catch {
    return word;
  }
}

/** Milliseconds below a second, seconds above. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 2 : 0)} s`;
}
