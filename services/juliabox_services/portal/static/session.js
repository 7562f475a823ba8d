// The frame around one session: it is shown while it runs, and the way back while it does not.
// Widgets of the head get each state as the event `juliabox:session` on `document`.
import { data, keepFresh, page } from "./api.js";
import { empty, fill, h, icon } from "./dom.js";

const frame = document.getElementById("session-frame");
const state = document.getElementById("session-state");
const { session: first } = data();
const server = encodeURIComponent(first.server);
let current = first;

function show({ session }) {
  current = session;
  const running = session.state === "running";
  if (running && !frame.src) frame.src = session.url;
  if (session.state === "stopped") frame.removeAttribute("src");
  frame.hidden = !running;
  state.hidden = running;
  if (!running) {
    const text = session.state === "starting" ? session.stage || "It opens here when it is ready." : session.ending || "Your files are safe.";
    const box = empty("window-stack", `${session.label} is ${session.state}`, text);
    box.append(h("a", { class: "btn btn-primary", href: page.portal_url }, icon("arrow-left"), " To my sessions"));
    fill(state, box);
  }
  document.dispatchEvent(new CustomEvent("juliabox:session", { detail: session }));
}

const feed = keepFresh(
  `api/session/${server}`,
  () => (current.state === "running" || current.state === "stopped" ? 5 : 1.2),
  show,
);
document.addEventListener("juliabox:refresh", () => feed.now());
// widgets of plugins load after this module
window.addEventListener("load", () => show({ session: current }));
document.documentElement.dataset.ready = page.name;
