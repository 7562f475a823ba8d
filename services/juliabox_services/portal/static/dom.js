// Making elements. Texts are always text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";
const sprite = document
  .querySelector("link[rel=icon]")
  .href.replace(/logo\.svg.*$/, "vendor/bootstrap-icons-1.13.2/icons.svg");

/** Make an element: attributes (`on…` listens, null and false are left out), then children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Make an icon of the sprite; it is decoration and hidden from readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "jb-icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

/** Replace what a container holds; it is no longer busy. */
export function fill(container, ...children) {
  container.replaceChildren(...children.flat().filter(Boolean));
  container.removeAttribute("aria-busy");
}

/** A place with nothing in it: why, and what to do. */
export function empty(symbol, title, text = "") {
  return h("div", { class: "jb-card jb-empty" }, icon(symbol), h("p", { class: "jb-empty-title" }, title), text && h("p", { class: "jb-hint" }, text));
}

/** A notice within the page. */
export function alertBox(level, ...content) {
  return h("div", { class: `alert alert-${level}`, role: level === "danger" ? "alert" : "status" }, ...content);
}

/** A notice over the page. */
export function toast(level, text, code = "") {
  const close = h("button", { type: "button", class: "btn-close", "aria-label": "Close", "data-bs-dismiss": "toast" });
  const symbol = { danger: "exclamation-triangle", success: "check-lg" }[level] ?? "info-circle";
  const box = h(
    "div",
    { class: `toast jb-toast jb-toast-${level}`, role: level === "danger" ? "alert" : "status", "aria-atomic": "true" },
    h("div", { class: "toast-body" }, icon(symbol), h("div", {}, h("p", {}, text), code && h("code", {}, code)), close),
  );
  document.getElementById("toasts").append(box);
  box.addEventListener("hidden.bs.toast", () => box.remove());
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  window.bootstrap.Toast.getOrCreateInstance(box, { delay: level === "danger" ? 12000 : 5000, animation: !still }).show();
}

/** Ask before something that cannot be undone; resolves to whether it was confirmed. */
export function confirmed({ title, text, action, danger = true }) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { class: "jb-dialog", "aria-labelledby": "dialog-title" },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "dialog-title" }, title),
        h("p", {}, text),
        h(
          "div",
          { class: "jb-row jb-end" },
          h("button", { class: "btn btn-outline-contrast", value: "" }, "Cancel"),
          h("button", { class: `btn ${danger ? "btn-danger" : "btn-primary"}`, value: "yes" }, action),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Disable a button while something is under way. */
export async function busy(button, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}
