// Talking to the portal: JSON, the XSRF token, and errors as the service words them.
import { toast } from "./dom.js";

export const page = JSON.parse(document.getElementById("juliabox-page").textContent);

/** The data that came with the page. */
export const data = () => JSON.parse(document.getElementById("juliabox-data").textContent);

/** An answer that is an error: `message` is for people, `code` is stable, `body` all it tells. */
export class Fault extends Error {
  constructor(status, code, message, body = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.body = body;
  }
}

// What only reads is asked for once more: a network that changes drops what is under way.
const AGAIN_AFTER = 500;

async function ask(method, path, body, again = method === "GET") {
  let answer;
  try {
    answer = await fetch(page.portal_url + path, {
      method,
      headers: {
        Accept: "application/json",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        // with each request: by a cookie alone not even reading is possible for a foreign page
        "X-XSRFToken": page.xsrf_token,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    if (again) {
      await new Promise((done) => setTimeout(done, AGAIN_AFTER));
      return ask(method, path, body, false);
    }
    throw new Fault(0, "network", "The service cannot be reached. Is this computer online?");
  }
  const text = await answer.text();
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    throw new Fault(answer.status, `http.${answer.status}`, "The service answered with something that is not data.");
  }
  if (!answer.ok) {
    throw new Fault(answer.status, content?.code ?? `http.${answer.status}`, content?.message ?? "The service refused this.", content);
  }
  return content;
}

export const get = (path) => ask("GET", path);
export const post = (path, body) => ask("POST", path, body);
export const put = (path, body) => ask("PUT", path, body);
export const remove = (path) => ask("DELETE", path);

/** Do something and tell of its failure; resolves to whether it worked. */
export async function attempt(work, done = "") {
  try {
    await work();
    if (done) toast("success", done);
    return true;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    toast("danger", error.message, error.code);
    return false;
  }
}

/**
 * Fetch again and again while the page is seen. `seconds()` is asked before each wait; `show`
 * gets the data; `lost` gets a Fault, or null when data came after one.
 */
export function keepFresh(path, seconds, show, lost = () => {}) {
  let timer = 0;
  let due = 0;
  let failures = 0;
  let latest = 0;
  // the sooner of two plans holds: a look that ends does not undo one that was asked for meanwhile
  const plan = (delay) => {
    const at = performance.now() + delay * 1000;
    if (document.hidden || (timer && due <= at)) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(turn, delay * 1000);
  };
  const rest = () => {
    clearTimeout(timer);
    timer = 0;
  };
  const turn = async () => {
    rest();
    const mine = ++latest;
    try {
      const found = await get(typeof path === "function" ? path() : path);
      // what was asked before may come after
      if (mine === latest) show(found);
      if (failures) lost(null);
      failures = 0;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      failures += 1;
      lost(error);
    }
    // a service in trouble is asked less often
    plan(seconds() * Math.min(8, 2 ** failures));
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : plan(0.05)));
  plan(seconds());
  return { now: turn, soon: plan };
}
