"use strict";
// Lets people see the password that they type.
for (const button of document.querySelectorAll(".jb-reveal")) {
  button.addEventListener("click", () => {
    const field = document.getElementById(button.dataset.for);
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
    button.firstElementChild.className = shown ? "fa fa-eye" : "fa fa-eye-slash";
  });
}
