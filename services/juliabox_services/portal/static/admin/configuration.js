// The effective configuration, with a filter.
import { data, page } from "../api.js";
import { empty, fill, h, icon } from "../dom.js";

const { text, path, changed } = data();
const lines = text.trimEnd().split("\n");
const listing = h("pre", { class: "jb-listing", tabindex: "0", "aria-label": "Configuration" });
const search = h("input", { type: "search", class: "form-control", placeholder: "Find a key", "aria-label": "Find a key" });
const only = h("input", { type: "checkbox", class: "form-check-input", id: "changed-only" });

/** Each line with its dotted key, out of the indentation. */
function keyed() {
  const open = [];
  return lines.map((line) => {
    const found = /^(\s*)([^\s:#-][^:]*):/.exec(line);
    if (found) {
      const depth = found[1].length / 2;
      open.length = depth;
      open[depth] = found[2];
    }
    return { line, key: open.filter(Boolean).join(".") };
  });
}

function draw() {
  const wanted = search.value.trim().toLowerCase();
  const set = (key) => changed.some((one) => key === one || key.startsWith(`${one}.`));
  const shown = keyed().filter(({ line, key }) => (!wanted || `${key} ${line}`.toLowerCase().includes(wanted)) && (!only.checked || set(key)));
  fill(listing, shown.map(({ line, key }) => h("span", { class: set(key) ? "jb-line jb-set" : "jb-line" }, `${line}\n`)));
}

search.addEventListener("input", draw);
only.addEventListener("change", draw);
draw();
fill(
  document.getElementById("configuration"),
  text.trim()
    ? h(
        "div",
        { class: "jb-stack" },
        h(
          "div",
          { class: "jb-toolbar" },
          h("span", { class: "jb-search" }, icon("search"), search),
          h("label", { class: "jb-choice", for: "changed-only" }, only, h("span", {}, " only what the operator set")),
          path ? h("span", { class: "jb-hint" }, h("code", {}, path)) : null,
        ),
        h("div", { class: "jb-card jb-list" }, listing),
      )
    : empty("sliders", "The configuration is not known", "`juliabox up` renders it for the portal."),
);
document.documentElement.dataset.ready = page.name;
