"use strict";
// Loaded on every page of the portal: marks the page when the greeting's own feature is there.
document.documentElement.dataset.greeting = String(JuliaBox.has_plugin_feature("task.cmd.async"));
