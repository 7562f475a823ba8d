// Downloads of everything that a person owns.
import { data, page } from "./api.js";
import { empty, fill, h, icon } from "./dom.js";
import { bytes } from "./format.js";
import { volumeCard } from "./volumes.js";

const archive = data();

function item(one) {
  const size = one.size === null ? "" : ` · about ${bytes(one.size)}`;
  const way = one.unavailable
    ? h("p", { class: "jb-hint" }, icon("info-circle"), ` ${one.unavailable}`)
    : h("a", { class: "btn btn-primary", href: one.url, download: true, "aria-label": `Download ${one.label}` }, icon("download"), " Download");
  return h("li", { class: "jb-item" }, h("div", { class: "jb-grow" }, h("h2", {}, one.label), h("p", { class: "jb-hint" }, one.description + size)), way);
}

fill(
  document.getElementById("archive"),
  archive.items.length ? h("ul", { class: "jb-card jb-items" }, ...archive.items.map(item)) : empty("download", "Nothing to download yet", "Your files appear here after your first session."),
  archive.volumes.length ? h("section", { "aria-label": "Volumes" }, h("div", { class: "jb-cards" }, ...archive.volumes.map(volumeCard))) : null,
);
document.documentElement.dataset.ready = page.name;
