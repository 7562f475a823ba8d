"use strict";
// Shows the message of the day, which the portal keeps; without one, or a portal, nothing is there.
const portal = document.currentScript.dataset.portal;
if (portal) {
  fetch(`${portal}api/message`, { credentials: "omit" })
    .then((answer) => (answer.ok ? answer.json() : null))
    .then((message) => {
      if (!message) return;
      const shown = document.createElement("p");
      shown.className = `jb-message alert alert-${message.level}`;
      shown.setAttribute("role", "status");
      shown.textContent = message.text;
      (document.querySelector("main") ?? document.body).prepend(shown);
    })
    .catch(() => {});
}
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
