// The head of a session: follows the states that the frame fetches.
const head = document.querySelector(".jb-sh");
const part = (name) => head.querySelector(`.jb-sh-${name}`);
const TONES = { running: "jb-on", starting: "jb-waiting", stopping: "jb-waiting", stopped: "" };
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
let session = null;
let fetched = 0;

function bytes(value) {
  const step = value > 0 ? Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10)) : 0;
  const number = value / 1024 ** step;
  return `${number.toFixed(step && number < 100 ? 1 : 0)} ${UNITS[step]}`;
}

function span(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.max(0, Math.round(seconds))} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function showGauge(element, gauge) {
  element.hidden = !gauge || gauge.limit === null;
  if (element.hidden) return;
  const share = Math.min(1, gauge.used / gauge.limit);
  const show = element.dataset.kind === "cpu" ? (value) => `${value.toFixed(2)} cores` : bytes;
  const text = `${show(gauge.used)} of ${show(gauge.limit)}`;
  const meter = element.querySelector("[role=meter]");
  meter.setAttribute("aria-valuenow", String(Math.round(share * 100)));
  meter.setAttribute("aria-valuetext", text);
  element.title = `${meter.getAttribute("aria-label")}: ${text}`;
  element.querySelector(".jb-gauge-bar").style.width = `${share * 100}%`;
  element.dataset.level = share >= 0.95 ? "full" : share >= 0.8 ? "near" : "well";
}

function tick() {
  const clock = part("clock");
  clock.hidden = session?.state !== "running" || session.time_left === null;
  if (clock.hidden) return;
  const left = session.time_left - (Date.now() / 1000 - fetched);
  clock.textContent = session.time_left_why === "idle" ? `stops in ${span(left)} if idle` : `stops in ${span(left)}`;
  clock.toggleAttribute("data-soon", left < 600);
}

document.addEventListener("juliabox:session", ({ detail }) => {
  session = detail;
  fetched = Date.now() / 1000;
  part("name").textContent = session.label;
  part("state").textContent = session.state;
  part("state").className = `jb-state jb-sh-state ${TONES[session.state]}`;
  for (const element of head.querySelectorAll(".jb-sh-gauge")) showGauge(element, session.gauges?.[element.dataset.kind]);
  part("stop").hidden = !session.can_stop;
  part("stop").disabled = session.state === "stopping";
  tick();
});
setInterval(tick, 1000);

part("stop").addEventListener("click", async () => {
  part("stop").disabled = true;
  const { confirmed, toast } = await import(`${head.dataset.portal}static/dom.js`);
  const text = "What runs in it ends, and variables are lost. Your files stay.";
  if (await confirmed({ title: `Stop ${session.label}?`, text, action: "Stop" })) {
    const answer = await window.JuliaBox.fetch("api/servers/stop", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ server: session.server }),
    });
    if (!answer.ok) {
      const { message, code } = await answer.json();
      toast("danger", message, code);
    }
  }
  part("stop").disabled = false;
  document.dispatchEvent(new CustomEvent("juliabox:refresh"));
});
