// A person's tokens: made, shown once, revoked.
import { attempt, data, get, page, post, remove } from "./api.js";
import { alertBox, busy, confirmed, empty, fill, h, icon, toast } from "./dom.js";
import { date, relative, when } from "./format.js";

/** Scopes of a token that are shown without a click. */
const FEW = 3;

const list = document.getElementById("tokens");
const made = document.getElementById("made");
const form = document.getElementById("new-token");

function scopes(names) {
  if (!names.length) return null;
  const list = h("p", { class: "jb-scopes" }, ...names.map((scope) => h("code", {}, scope)));
  return names.length <= FEW ? list : h("details", {}, h("summary", { class: "jb-hint" }, `${names.length} scopes`), list);
}

function card(token) {
  const button = h("button", { type: "button", class: "btn btn-sm btn-outline-danger", "aria-label": `Revoke ${token.note || token.kind}`, onclick: () => revoke(token, button) }, "Revoke");
  const end = token.expires === null ? "never ends" : `ends ${relative(token.expires)}`;
  return h(
    "li",
    { class: "jb-item" },
    h(
      "div",
      { class: "jb-grow" },
      h("p", { class: "jb-row jb-tight" }, h("strong", {}, token.note || "without a note"), token.kind === "login" ? h("span", { class: "jb-chip" }, "log-in") : null),
      h("p", { class: "jb-hint" }, `Made ${date(token.created)} · last used `, when(token.last_used), ` · ${end}`),
      scopes(token.scopes),
    ),
    button,
  );
}

function show({ tokens, longest }) {
  for (const option of form.querySelectorAll("#expires option")) {
    option.hidden = option.disabled = longest !== null && (option.value === "" || Number(option.value) > longest);
  }
  fill(list, tokens.length ? h("ul", { class: "jb-card jb-items" }, ...tokens.map(card)) : empty("key", "No tokens", "Make one when a program should act for you."));
}

const refresh = () => attempt(async () => show(await get("api/tokens")));

async function revoke(token, button) {
  const text = `Programs that use “${token.note || token.kind}” are refused from then on.`;
  if (!(await confirmed({ title: "Revoke this token?", text, action: "Revoke" }))) return;
  await busy(button, () => attempt(() => remove(`api/tokens/${encodeURIComponent(token.id)}`), "The token is revoked."));
  await refresh();
}

async function copy(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    toast("success", "Copied.");
  } catch {
    field.select(); // a page without HTTPS may not write to the clipboard
    toast("info", "Press Ctrl+C to copy it.");
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const note = document.getElementById("note");
  const ends = document.getElementById("expires").value;
  await busy(form.querySelector("button"), () =>
    attempt(async () => {
      const fresh = await post("api/tokens", { note: note.value.trim(), expires_in: ends === "" ? null : Number(ends) });
      const field = h("input", { class: "form-control jb-secret", readonly: true, value: fresh.token, "aria-label": "The new token" });
      fill(
        made,
        alertBox(
          "success",
          h("p", {}, h("strong", {}, "Copy the token now."), " It is shown this once."),
          h("div", { class: "input-group" }, field, h("button", { type: "button", class: "btn btn-primary", onclick: () => copy(field) }, icon("clipboard"), " Copy")),
        ),
      );
      field.focus();
      field.select();
      note.value = "";
    }),
  );
  await refresh();
});

show(data());
document.documentElement.dataset.ready = page.name;
