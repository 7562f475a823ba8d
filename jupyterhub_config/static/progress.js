"use strict";
// Shows the stages of a start, and leaves the page when the server is ready or has failed.
(() => {
  const page = document.getElementById("start-progress");
  const message = document.getElementById("progress-message");
  const bar = document.getElementById("progress-bar");
  const log = document.getElementById("progress-log");
  const status = document.getElementById("stop-server-status");
  const { base_url: base, xsrf_token: xsrf } = window.jhdata;
  let cancelled = false;

  const show = (event) => {
    if (event.progress !== undefined) {
      bar.style.width = `${event.progress}%`;
      bar.setAttribute("aria-valuenow", event.progress);
    }
    if (event.message) {
      message.textContent = event.message;
      const step = document.createElement("li");
      step.textContent = event.message;
      log.append(step);
    }
  };

  // A hub that was killed closes nothing: the proxy keeps the stream open, and silent.
  const SILENCE = 20000;
  let events = null;
  let silence = 0;

  const connect = () => {
    if (events) {
      events.close();
    }
    log.replaceChildren(); // each stream tells from the beginning
    events = new EventSource(page.dataset.events);
    events.onmessage = receive;
    events.onerror = () => {
      if (events.readyState === EventSource.CLOSED && !cancelled) {
        window.clearTimeout(silence);
        message.textContent = "The hub does not answer at the moment. This page waits for it.";
        window.setTimeout(lookAgain, 1000);
      }
    };
    silence = window.setTimeout(connect, SILENCE);
  };

  const receive = (received) => {
    window.clearTimeout(silence);
    const event = JSON.parse(received.data);
    if (event.ready) {
      event.message = "Ready";
    }
    show(event);
    if (event.ready || event.failed) {
      events.close();
      if (event.failed) {
        bar.classList.add("bg-danger");
      }
      if (!cancelled) {
        // ready: on to the server, or where the hub knows that we were on the way to; failed: the
        // hub shows why
        if (event.ready && event.url && !window.location.search) {
          window.location.replace(event.url);
        } else {
          window.setTimeout(() => window.location.reload(), event.failed ? 600 : 0);
        }
      }
      return;
    }
    silence = window.setTimeout(connect, SILENCE);
  };

  // A hub that was restarted knows nothing of this start any more: its page offers a new one.
  const lookAgain = async () => {
    const answer = await fetch(`${base}health`).catch(() => null);
    if (answer && answer.ok) {
      window.location.reload();
    } else {
      window.setTimeout(lookAgain, 2000);
    }
  };

  connect();

  document.getElementById("stop-server-btn").addEventListener("click", async (click) => {
    cancelled = true;
    click.target.disabled = true;
    status.hidden = false;
    status.textContent = "Cancelling…";
    const server = page.dataset.server;
    const path = server ? `servers/${encodeURIComponent(server)}` : "server";
    const answer = await fetch(`${base}api/users/${page.dataset.owner}/${path}`, {
      method: "DELETE",
      headers: { "X-XSRFToken": xsrf },
    });
    if (answer.ok) {
      window.location.assign(`${base}home`);
    } else {
      status.textContent = "This start could not be cancelled.";
      click.target.disabled = false;
      cancelled = false;
    }
  });

  window._jupyterhub_page_loaded = true;
})();
