// A person's tokens.
import { data, page } from "./api.js";
import { handleTokens } from "./token_form.js";

handleTokens({
  path: "api/tokens",
  form: document.getElementById("new-token"),
  made: document.getElementById("made"),
  list: document.getElementById("tokens"),
  none: ["key", "No tokens", "Make one when a program should act for you."],
}).show(data());
document.documentElement.dataset.ready = page.name;
