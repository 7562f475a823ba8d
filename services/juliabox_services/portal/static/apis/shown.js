// Work of a tab: done again and again while it is seen.
import { Fault } from "../api.js";

/** Do `work` whenever the tab `name` comes to be seen, and every `seconds` while it is. */
export function whileShown(name, seconds, work, lost) {
  const tab = document.getElementById(`${name}-tab`);
  if (!tab) return () => {};
  let timer = 0;
  let running = false;
  const seen = () => !document.hidden && tab.classList.contains("active");
  const turn = async () => {
    clearTimeout(timer);
    if (running || !seen()) return;
    running = true;
    let wait = seconds;
    try {
      await work();
      lost(null);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      wait = seconds * 4; // what is in trouble is asked less often
      lost(error);
    } finally {
      running = false;
    }
    if (seen()) timer = setTimeout(turn, wait * 1000);
  };
  tab.addEventListener("shown.bs.tab", turn);
  document.addEventListener("visibilitychange", turn);
  turn();
  return turn;
}
