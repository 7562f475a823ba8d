"use strict";
document.documentElement.dataset.standTop = String(window.JuliaBox.has_plugin_feature("ui.session.head"));
