// A person's sessions, with gauges that follow.
import { attempt, data, keepFresh, page, post } from "./api.js";
import { load as loadDefaults } from "./defaults.js";
import { alertBox, busy, empty, fill } from "./dom.js";
import { SessionCard } from "./session_card.js";
import { chooseProfile } from "./profiles.js";
import { volumeCard } from "./volumes.js";

const QUIET = 4;
const MOVING = 1.2;

const container = document.getElementById("sessions");
const degraded = document.getElementById("degraded");
const form = document.getElementById("add-server");
const cards = new Map();
let home = data();
let shownVolumes = "";

function show(fresh) {
  home = fresh;
  const names = new Set(home.sessions.map((session) => session.server));
  for (const [name, card] of cards) {
    if (!names.has(name)) {
      card.element.remove();
      cards.delete(name);
    }
  }
  if (!cards.size) fill(container);
  for (const session of home.sessions) {
    const card = cards.get(session.server);
    if (card) {
      card.update(session);
    } else {
      const made = new SessionCard(session, { home: () => home, refresh: () => feed.now() });
      cards.set(session.server, made);
      container.append(made.element);
    }
  }
  container.removeAttribute("aria-busy");
  form.hidden = home.named_servers_left < 1;
  document.getElementById("server-hint").textContent =
    `${home.named_servers_left} more at the same time; all of them see the same files. Letters a to z, digits and single hyphens.`;
  showVolumes();
  showDegraded(home.degraded);
}

function showVolumes() {
  const wanted = JSON.stringify(home.volumes);
  if (wanted === shownVolumes) return;
  shownVolumes = wanted;
  fill(
    document.getElementById("volumes"),
    home.volumes.length ? home.volumes.map(volumeCard) : empty("hdd", "No volumes yet", "Your home is made when your first session starts."),
  );
}

function showDegraded(text) {
  if (degraded.dataset.text === text) return;
  degraded.dataset.text = text;
  fill(degraded, text ? alertBox("warning", text) : null);
}

const moving = () => home.sessions.some((one) => one.state === "starting" || one.state === "stopping");
const feed = keepFresh(
  "api/home",
  () => (moving() ? MOVING : QUIET),
  show,
  (fault) => showDegraded(fault ? `${fault.message} What you see may be old. (${fault.code})` : ""),
);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("server-name");
  const server = field.value.trim();
  const profile = await chooseProfile({ label: server, profile: "" }, home);
  if (profile === null) return;
  const started = await busy(form.querySelector("button"), () => attempt(() => post("api/servers/start", { server, profile })));
  if (started) field.value = "";
  feed.now();
});

setInterval(() => {
  if (!document.hidden) for (const card of cards.values()) card.tick();
}, 1000);

show(home);
loadDefaults().then(() => show(home));
document.documentElement.dataset.ready = page.name;
