// One's own APIs, and those of others that one may call.
import { data, keepFresh, page } from "../api.js";
import { empty, fill, h, icon } from "../dom.js";
import { number } from "../format.js";
import { accessChip, stateBadge } from "./words.js";

const box = document.getElementById("apis");
const NAME = "[a-z][a-z0-9\\-]{0,39}";
let shown = "";

const address = (publisher, api) => `${page.portal_url}apis/${encodeURIComponent(publisher)}/${encodeURIComponent(api)}`;

function card(one, mine) {
  const errors = one.errors ? h("span", { class: "jb-fault-count" }, `, ${number(one.errors)} failed`) : "";
  const containers = one.containers === 1 ? "1 container" : `${number(one.containers)} containers`;
  const title = mine ? one.api : `${one.publisher}/${one.api}`;
  return h(
    "article",
    { class: "jb-card jb-api-card", "aria-label": title },
    h("div", { class: "jb-row jb-tight" }, h("h3", {}, h("a", { href: address(one.publisher, one.api) }, title)), stateBadge(one), accessChip(one.access)),
    one.description ? h("p", { class: "jb-lines" }, one.description) : null,
    h("p", { class: "jb-row jb-tight" }, ...one.functions.map((name) => h("code", {}, name))),
    mine ? h("p", { class: "jb-hint" }, `Version ${number(one.active)} · ${number(one.calls)} calls in 24 h`, errors, ` · ${containers}`) : null,
  );
}

function newApi(most, count) {
  const field = h("input", { id: "api-name", class: "form-control", maxlength: 40, required: true, pattern: NAME, title: "Letters a to z, digits and hyphens", autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "name of a new API", "aria-describedby": "api-hint" });
  const submit = (event) => {
    event.preventDefault();
    location.assign(address(page.me.name, field.value));
  };
  return h(
    "form",
    { class: "jb-add", onsubmit: submit },
    h("label", { class: "visually-hidden", for: "api-name" }, "Name of a new API"),
    field,
    h("button", { class: "btn btn-primary" }, icon("plus-lg"), " New API"),
    h("small", { id: "api-hint", class: "jb-hint" }, `Letters a to z, digits and hyphens. ${number(count)} of ${number(most)} are taken.`),
  );
}

function own(now) {
  if (!now.publisher && !now.own.length) return null;
  const form = now.publisher && now.own.length < now.most ? newApi(now.most, now.own.length) : null;
  const cards = now.own.length ? h("div", { class: "jb-cards" }, ...now.own.map((one) => card(one, true))) : empty("braces", "You have published nothing yet", "Give an API a name, write its functions, and programs can call them a moment later.");
  return h("section", { "aria-labelledby": "own-title" }, h("h2", { id: "own-title" }, "Yours"), cards, form);
}

function shared(now) {
  if (!now.shared.length) return null;
  return h("section", { "aria-labelledby": "shared-title" }, h("h2", { id: "shared-title" }, "Of others"), h("div", { class: "jb-cards" }, ...now.shared.map((one) => card(one, false))));
}

function show(now) {
  const wanted = JSON.stringify(now);
  if (wanted === shown || box.contains(document.activeElement)) return; // what has the focus keeps it
  shown = wanted;
  const nothing = !now.publisher && !now.own.length && !now.shared.length;
  const why = now.available ? "Nobody has published one that you may call. Who publishes is the admins' choice: they give the role api-publisher." : "The operator of this installation has not turned them on.";
  fill(box, nothing ? empty("braces", "No APIs", why) : null, own(now), shared(now));
}

show(data());
if (data().available) keepFresh("api/apis", () => 15, show);
document.documentElement.dataset.ready = page.name;
