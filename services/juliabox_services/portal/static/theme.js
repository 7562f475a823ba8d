"use strict";
// The theme, before anything is drawn. It is kept under the hub's own key, so that hub and portal
// look alike where they share an origin.
(() => {
  const KEY = "jupyterhub-bs-theme";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off
    }
  };
  const apply = () => {
    const theme = stored();
    const chosen = theme === "light" || theme === "dark" ? theme : dark.matches ? "dark" : "light";
    document.documentElement.setAttribute("data-bs-theme", chosen);
  };
  const choose = (theme) => {
    try {
      if (theme === "auto") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      document.documentElement.setAttribute("data-bs-theme", theme);
      return;
    }
    apply();
  };
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("dark-theme-toggle")?.addEventListener("click", () => {
      choose(document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark");
    });
  });
  window.JuliaBoxTheme = Object.freeze({ choose, chosen: () => stored() ?? "auto" });
})();
