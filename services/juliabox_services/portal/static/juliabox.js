"use strict";
// What plugins' scripts may rely on. `JuliaBox.has_plugin_feature(name)` answers what
// `name in juliabox_ext.get_pluggedin_features()` answers in Python.
(() => {
  const page = JSON.parse(document.getElementById("juliabox-page").textContent);
  const freeze = (value) => {
    if (value && typeof value === "object") {
      Object.values(value).forEach(freeze);
      Object.freeze(value);
    }
    return value;
  };
  window.JuliaBox = freeze({
    page: page.name,
    user: page.me.name,
    portal_url: page.portal_url,
    hub_url: page.hub_url,
    /** Whether an enabled plugin provides a feature, such as "cloud.bucketstore.s3". */
    has_plugin_feature: (name) => Object.hasOwn(page.features, name),
    /** Feature -> names of the plugins that provide it. */
    get_pluggedin_features: () => structuredClone(page.features),
    /** `fetch` below the portal with what it demands of a request: the XSRF token. */
    fetch: (path, options = {}) =>
      fetch(page.portal_url + path, {
        ...options,
        headers: { ...options.headers, "X-XSRFToken": page.xsrf_token },
      }),
  });

  document.addEventListener("DOMContentLoaded", () => {
    const message = document.querySelector(".jb-message");
    if (!message) return;
    const key = `juliabox-message-${message.dataset.message}`;
    try {
      message.hidden = sessionStorage.getItem(key) === "hidden";
    } catch {
      // storage is switched off: the message comes back with the next page
    }
    message.querySelector(".btn-close").addEventListener("click", () => {
      message.hidden = true;
      try {
        sessionStorage.setItem(key, "hidden");
      } catch {
        return;
      }
    });
  });
})();
