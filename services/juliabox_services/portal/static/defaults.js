// The person's own defaults, if the plugin `configuration` keeps any.
import { Fault, get } from "./api.js";

const NONE = Object.freeze({ profile: "", open: "lab", confirm: true });
let kept = NONE;

/** What is known now; the service's own ways until `load` has answered. */
export const defaults = () => kept;

/** Fetch them. Without the plugin, or while it fails, the service's own ways hold. */
export async function load() {
  const plugins = window.JuliaBox.get_pluggedin_features()["ui.config.section"] ?? [];
  if (!plugins.includes("configuration")) return;
  try {
    kept = { ...NONE, ...(await get("plugins/configuration/defaults")) };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
}
