// The packages of the session images, with a filter.
import { data, page } from "./api.js";
import { empty, fill, h, icon } from "./dom.js";
import { number } from "./format.js";

const { images } = data();
const box = document.getElementById("packages");

function rows(set, wanted) {
  const found = set.packages.filter((one) => `${one.name} ${one.summary}`.toLowerCase().includes(wanted));
  return found.map((one) =>
    h(
      "tr",
      { role: "row" },
      h("td", { role: "cell", class: "jb-strong" }, one.name),
      h("td", { role: "cell", "data-label": "Version" }, h("code", {}, one.version)),
      h("td", { role: "cell", "data-label": "Language" }, h("span", { class: "jb-chip" }, one.language === "julia" ? "Julia" : "Python")),
      h("td", { role: "cell", class: "jb-soft" }, one.summary),
    ),
  );
}

function imageSection(set, index) {
  const body = h("tbody", { role: "rowgroup" });
  const count = h("p", { class: "jb-hint", role: "status" });
  const search = h("input", { type: "search", class: "form-control", placeholder: "Filter", "aria-label": `Filter the packages of ${set.image}` });
  const draw = () => {
    const found = rows(set, search.value.trim().toLowerCase());
    fill(body, found);
    count.textContent = found.length === set.packages.length ? `${number(found.length)} packages` : `${number(found.length)} of ${number(set.packages.length)} packages`;
  };
  search.addEventListener("input", draw);
  draw();
  const heads = ["Package", "Version", "Language", "What it is"].map((text) => h("th", { scope: "col", role: "columnheader" }, text));
  return h(
    "section",
    { "aria-labelledby": `image-${index}` },
    h("h2", { id: `image-${index}`, hidden: !set.image }, set.image || "Packages"),
    set.profiles.length ? h("p", { class: "jb-row jb-tight" }, ...set.profiles.map((name) => h("span", { class: "jb-chip" }, name))) : null,
    set.missing
      ? empty("box-seam", "Nothing to list yet", set.missing)
      : h(
          "div",
          { class: "jb-stack" },
          h("div", { class: "jb-toolbar" }, h("span", { class: "jb-search" }, icon("search"), search), count),
          h("div", { class: "jb-card jb-list" }, h("table", { class: "jb-table", role: "table" }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads)), body)),
        ),
  );
}

fill(box, images.length ? images.map(imageSection) : empty("box-seam", "Nothing is known of the images", "The operator of this service can make them with `juliabox up`."));
document.documentElement.dataset.ready = page.name;
