// A prebuilt extension of JupyterLab, written by hand as a module-federation container: it needs
// one class of JupyterLab's and nothing of its own, so there is nothing to bundle.
(() => {
  "use strict";
  const NAME = "juliabox-session-head";
  // Milliseconds from JupyterLab being drawn: a kernel is starting then, which a person waits for.
  const LATER = 2500;
  let shared = {};

  function configuration() {
    const element = document.getElementById("jupyter-config-data");
    return element ? JSON.parse(element.textContent || "{}") : {};
  }

  // The portal's page of this server's head; null outside a hub, and within the portal's own frame,
  // which has the head already.
  function address({ hubHost = "", hubPrefix = "", hubServerName = "" }) {
    if (!hubPrefix || window.top !== window) return null;
    const base = hubPrefix.replace(/hub\/$/, "");
    const path = `${base}services/portal/head/${encodeURIComponent(hubServerName)}`;
    // with subdomains, the hub names a service's host after the service
    const host = hubHost.replace("://", "://portal--service.");
    return new URL(path, host || window.location.origin);
  }

  async function widgetClass() {
    const [version] = Object.values(shared["@lumino/widgets"]);
    return (await version.get())().Widget;
  }

  async function show(app) {
    const url = address(configuration());
    if (url === null) return;
    const Widget = await widgetClass();
    const frame = document.createElement("iframe");
    frame.title = "JuliaBox session";
    frame.src = url.href;
    frame.style.cssText = "border: 0; height: 100%; width: 0; color-scheme: normal";
    const widget = new Widget({ node: document.createElement("div") });
    widget.id = NAME;
    widget.node.style.display = "flex";
    widget.node.append(frame);
    // the page says how wide it is; one that cannot be shown says nothing and takes no room
    window.addEventListener("message", (event) => {
      if (event.source !== frame.contentWindow || event.origin !== url.origin) return;
      const width = Number(event.data && event.data.juliaboxHeadWidth);
      if (width >= 0 && width <= 1000) frame.style.width = `${Math.ceil(width)}px`;
    });
    app.shell.add(widget, "top", { rank: 900 });
  }

  const plugin = {
    id: `${NAME}:plugin`,
    description: "Shows the session-head widgets of JuliaBox's plugins.",
    autoStart: true,
    activate: (app) => {
      app.restored
        .then(() => new Promise((go) => setTimeout(go, LATER)))
        .then(() => show(app))
        .catch((error) => console.warn(NAME, error));
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: (scope) => {
      shared = scope;
    },
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
