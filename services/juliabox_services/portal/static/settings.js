// The look of the pages; sections of plugins bring their own forms.
//
// A form with `data-api="plugins/NAME/…"` is loaded with GET and saved with PUT as a JSON object of
// its named fields, so that a plugin needs no script of its own.
import { attempt, get, page, put } from "./api.js";
import { busy } from "./dom.js";

const theme = window.JuliaBoxTheme;
for (const choice of document.querySelectorAll("#theme-choice input")) {
  choice.checked = choice.value === theme.chosen();
  choice.addEventListener("change", () => theme.choose(choice.value));
}

function fields(form) {
  return [...form.elements].filter((field) => field.name);
}

function setField(field, value) {
  if (field.type === "checkbox") field.checked = Boolean(value);
  else if (field.type === "radio") field.checked = field.value === String(value);
  else field.value = value ?? "";
}

function valueOf(form) {
  const values = {};
  for (const field of fields(form)) {
    if (field.type === "checkbox") values[field.name] = field.checked;
    else if (field.type === "number") values[field.name] = field.value === "" ? null : field.valueAsNumber;
    else if (field.type !== "radio" || field.checked) values[field.name] = field.value;
  }
  return values;
}

/** A select with `data-options="PATH LIST VALUE LABEL"` offers what a route lists. */
async function offer(form) {
  for (const select of form.querySelectorAll("select[data-options]")) {
    const [path, list, value, label] = select.dataset.options.split(" ");
    for (const one of (await get(path))[list]) select.append(new Option(one[label], one[value]));
  }
}

for (const form of document.querySelectorAll(".jb-plugin form[data-api]")) {
  // what is chosen before the kept values are there would be lost, and saved without them
  const closed = [...form.elements].filter((field) => !field.disabled);
  for (const field of closed) field.disabled = true;
  attempt(async () => {
    await offer(form);
    const values = await get(form.dataset.api);
    for (const field of fields(form)) if (field.name in values) setField(field, values[field.name]);
    for (const field of closed) field.disabled = false;
    form.dataset.loaded = "";
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit], button:not([type])");
    await busy(button, () => attempt(() => put(form.dataset.api, valueOf(form)), "Saved."));
  });
}
document.documentElement.dataset.ready = page.name;
