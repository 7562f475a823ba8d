// The choice of a profile before a start.
import { defaults } from "./defaults.js";
import { h } from "./dom.js";

/** Resolve to a slug, to "" where nothing is asked, or to null if the person changed their mind. */
export function chooseProfile(session, home) {
  const { profiles } = home;
  if (profiles.length < 2) return Promise.resolve("");
  const wanted = [session.profile, defaults().profile].find((slug) => profiles.some((one) => one.slug === slug));
  const first = wanted ?? profiles.find((one) => one.default)?.slug ?? profiles[0].slug;
  return new Promise((resolve) => {
    const choices = profiles.map((profile) =>
      h(
        "label",
        { class: "jb-profile" },
        h("input", { type: "radio", name: "profile", value: profile.slug, checked: profile.slug === first }),
        h("span", { class: "jb-profile-body" }, h("span", { class: "jb-profile-name" }, profile.label), h("span", { class: "jb-hint" }, profile.description)),
      ),
    );
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "profile-title" }, `Start ${session.label}`),
      h("fieldset", { class: "jb-profiles" }, h("legend", { class: "visually-hidden" }, "Profile"), ...choices),
      h(
        "div",
        { class: "jb-row jb-end" },
        h("button", { class: "btn btn-outline-contrast", value: "", type: "submit", formnovalidate: true }, "Cancel"),
        h("button", { class: "btn btn-primary", value: "start", type: "submit" }, "Start"),
      ),
    );
    const dialog = h("dialog", { class: "jb-dialog", "aria-labelledby": "profile-title" }, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "start" ? new FormData(form).get("profile") : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
    form.querySelector("input:checked").focus();
  });
}
