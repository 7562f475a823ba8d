"use strict";
// A page is loaded in pieces, and a network that changes drops single ones: without this the page
// would stand there half and say nothing.
(() => {
  const tell = () => document.getElementById("not-whole")?.removeAttribute("hidden");
  window.addEventListener("error", ({ target }) => {
    if (!(target instanceof HTMLScriptElement || target instanceof HTMLLinkElement)) return;
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", tell);
    else tell();
  }, true);
})();
