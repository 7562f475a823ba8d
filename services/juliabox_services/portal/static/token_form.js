// Tokens: made, shown once, listed, revoked.
import { attempt, get, post, remove } from "./api.js";
import { alertBox, busy, confirmed, empty, fill, h, icon, toast } from "./dom.js";
import { date, relative, when } from "./format.js";

/** Scopes of a token that are shown without a click. */
const FEW = 3;

/** Put a text on the clipboard, from a field if there is one to select. */
export async function copy(text, field = null) {
  try {
    await navigator.clipboard.writeText(text);
    toast("success", "Copied.");
  } catch {
    field?.select(); // a page without HTTPS may not write to the clipboard
    toast("info", "Press Ctrl+C to copy it.");
  }
}

function scopesOf(names) {
  if (!names.length) return null;
  const list = h("p", { class: "jb-scopes" }, ...names.map((scope) => h("code", {}, scope)));
  return names.length <= FEW ? list : h("details", {}, h("summary", { class: "jb-hint" }, `${names.length} scopes`), list);
}

/**
 * Handle the tokens at a path: `form` makes one, `made` shows its secret, `list` has them all.
 * `none` is what an empty list says. Returns what shows an answer of the path, and what asks it.
 */
export function handleTokens({ path, form, made, list, none, scopes = true }) {
  const card = (token) => {
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
        scopes ? scopesOf(token.scopes) : null,
      ),
      button,
    );
  };

  const show = ({ tokens, longest }) => {
    for (const option of form.elements.expires.options) {
      option.hidden = option.disabled = longest !== null && (option.value === "" || Number(option.value) > longest);
    }
    fill(list, tokens.length ? h("ul", { class: "jb-card jb-items" }, ...tokens.map(card)) : empty(...none));
  };

  const refresh = () => attempt(async () => show(await get(path)));

  const revoke = async (token, button) => {
    const text = `Programs that use “${token.note || token.kind}” are refused from then on.`;
    if (!(await confirmed({ title: "Revoke this token?", text, action: "Revoke" }))) return;
    await busy(button, () => attempt(() => remove(`api/tokens/${encodeURIComponent(token.id)}`), "The token is revoked."));
    await refresh();
  };

  const reveal = (secret) => {
    const field = h("input", { class: "form-control jb-secret", readonly: true, value: secret, "aria-label": "The new token" });
    fill(
      made,
      alertBox(
        "success",
        h("p", {}, h("strong", {}, "Copy the token now."), " It is shown this once."),
        h("div", { class: "input-group" }, field, h("button", { type: "button", class: "btn btn-primary", onclick: () => copy(field.value, field) }, icon("clipboard"), " Copy")),
      ),
    );
    field.focus();
    field.select();
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { note, expires } = form.elements;
    await busy(form.querySelector("button"), () =>
      attempt(async () => {
        const fresh = await post(path, { note: note.value.trim(), expires_in: expires.value === "" ? null : Number(expires.value) });
        reveal(fresh.token);
        note.value = "";
      }),
    );
    await refresh();
  });
  return { show, refresh };
}
