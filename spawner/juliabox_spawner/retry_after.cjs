// Loaded by the proxy's Node before the proxy. A part that does not answer is mostly being
// restarted: programs learn when to come again. The proxy itself has no setting for it, and takes
// only the kind of content from the hub's error page.
"use strict";
const { ServerResponse } = require("node:http");

const SECONDS = "2";
const writeHead = ServerResponse.prototype.writeHead;

ServerResponse.prototype.writeHead = function (status, ...more) {
  if (status === 503 && !this.hasHeader("Retry-After")) {
    this.setHeader("Retry-After", SECONDS);
  }
  return writeHead.call(this, status, ...more);
};
