// Writing the message of the day.
import { attempt, data, page, put } from "../api.js";
import { busy, confirmed, fill, h, icon } from "../dom.js";
import { dateTime } from "../format.js";

const form = document.getElementById("message-form");
const field = (id) => document.getElementById(id);

function local(time) {
  const shifted = new Date(time * 1000 - new Date(time * 1000).getTimezoneOffset() * 60000);
  return shifted.toISOString().slice(0, 16);
}

function draw() {
  const text = field("text").value.trim();
  const box = h("div", { class: `alert alert-${field("level").value} jb-message` }, icon("megaphone"), h("p", {}, text));
  fill(field("preview"), text ? box : h("p", { class: "jb-hint" }, "Nothing is shown."));
}

const NONE = { text: "", level: "info", until: null, author: "", written: null };

function show(message) {
  field("text").value = message.text;
  field("level").value = message.level;
  field("until").value = message.until === null ? "" : local(message.until);
  field("remove").hidden = !message.text;
  field("written").textContent = message.text && message.written !== null ? `Written by ${message.author}, ${dateTime(message.written)}.` : "";
  draw();
}

async function publish(button, body, done) {
  await busy(button, () => attempt(async () => show((await put("api/admin/message", body)) ?? NONE), done));
}

form.addEventListener("input", draw);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const until = field("until").value;
  const body = { text: field("text").value.trim(), level: field("level").value, until: until ? new Date(until).getTime() / 1000 : null };
  publish(form.querySelector(".btn-primary"), body, body.text ? "Everybody sees the message now." : "There is no message now.");
});
field("remove").addEventListener("click", async () => {
  if (!(await confirmed({ title: "Take the message away?", text: "Nobody sees it any more.", action: "Take away" }))) return;
  publish(field("remove"), { text: "", level: "info", until: null }, "There is no message now.");
});

show(data() ?? NONE);
document.documentElement.dataset.ready = page.name;
