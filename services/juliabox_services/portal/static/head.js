// The head of a session within JupyterLab: widgets get each state as `juliabox:session`, and the
// frame around it is told how wide it is.
import { data, keepFresh, page } from "./api.js";

const head = document.querySelector(".jb-head");
const { session: first } = data();

function show({ session }) {
  document.dispatchEvent(new CustomEvent("juliabox:session", { detail: session }));
  const width = head.getBoundingClientRect().width;
  // any origin: a width is no secret, and who may have this page in a frame is the page's policy
  window.parent.postMessage({ juliaboxHeadWidth: width }, "*");
}

keepFresh(`api/session/${encodeURIComponent(first.server)}`, () => 10, show);
// widgets of plugins load after this module
window.addEventListener("load", () => show({ session: first }));
document.documentElement.dataset.ready = page.name;
