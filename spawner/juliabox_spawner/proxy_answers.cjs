// What the proxy itself answers; loaded by its Node before it, which has no setting for any of it.
//
// Programs that call published functions understand JSON with a code, whoever answers them. What
// the engine says has an X-Request-Id; all else below its address are words of the proxy or hub.
// Each request of everybody comes through here: an ordinary one costs no parsing and no closure.
"use strict";
const http = require("node:http");
const https = require("node:https");

const SECONDS = "2";
const APIS = `${(process.env.JULIABOX_BASE_URL || "").replace(/\/+$/, "")}/services/api/`;
const ENGINE = process.env.JULIABOX_APIS === "1";

const ADDRESS = [400, "api.address", "The address is not UTF-8, percent-encoded"];
const MALFORMED = [400, "api.body", "The request is not proper HTTP, or its body is larger than admitted"];
const OFF = [404, "api.off", "There is no API engine here"];
const SILENT = [503, "api.silent", "The API engine does not answer now; come again"];

// a part that does not answer is mostly being restarted: all are told when to come again
const { writeHead, write, end } = http.ServerResponse.prototype;
function headed(status, ...more) {
  if (status === 503 && !this.hasHeader("Retry-After")) {
    this.setHeader("Retry-After", SECONDS);
  }
  return writeHead.call(this, status, ...more);
}
http.ServerResponse.prototype.writeHead = headed;

// a part that dies in the middle of its answer: the proxy leaves whoever waits for the rest waiting
const { pipe } = http.IncomingMessage.prototype;
http.IncomingMessage.prototype.pipe = function (to, ...more) {
  if (to instanceof http.ServerResponse) {
    this.once("close", () => this.complete || to.destroy());
  }
  return pipe.call(this, to, ...more);
};

// what is a path as it stands, up to its query: no escapes, host, backslashes or dots to resolve
const PLAIN = /^(\/(?![/.])(?:[^%?#\\/]|\/(?!\.))*)(?:[?#]|$)/;

// the path as the proxy reads it to find a route; for one that it cannot read it throws, as that does
function pathOf({ url }) {
  const plain = PLAIN.exec(url);
  return plain ? plain[1] : decodeURIComponent(new URL(url, "http://example.com").pathname);
}

function refuse(response, [status, code, message]) {
  const body = JSON.stringify({ code, message });
  headed.call(response, status, http.STATUS_CODES[status], {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    // which origins an API lists is not known here, and these words are no secret
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Content-Length": Buffer.byteLength(body),
  });
  end.call(response, body);
}

const DEAF = {
  writeHead() {
    return this;
  },
  write() {
    return true;
  },
  end() {
    return this;
  },
};

// at the first word of anybody but the engine, answer in place of it, and hear no more
function replaced(response, status) {
  if (response.headersSent || response.hasHeader("X-Request-Id")) return false;
  Object.assign(response, DEAF);
  response.once("unpipe", (source) => source.destroy());
  response.getHeaderNames().forEach((name) => response.removeHeader(name));
  // that alone is said before there is a request with an id
  refuse(response, status === 400 ? MALFORMED : SILENT);
  return true;
}

const ONLY_THE_ENGINE = {
  writeHead(status, ...more) {
    return replaced(this, status) ? this : headed.call(this, status, ...more);
  },
  write(chunk, encoding, callback) {
    return replaced(this, this.statusCode) || write.call(this, chunk, encoding, callback);
  },
  end(chunk, encoding, callback) {
    return replaced(this, this.statusCode) ? this : end.call(this, chunk, encoding, callback);
  },
};

function crooked(event, request, answer) {
  if (event === "upgrade") {
    // nobody else looks after this socket any more
    answer.on("error", () => {});
    answer.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", () => answer.destroy());
  } else if (request.url.startsWith(APIS)) refuse(answer, ADDRESS);
  else answer.writeHead(400, { "Content-Type": "text/plain" }).end(`${ADDRESS[2]}\n`);
}

// answer a request that is nobody else's; return whether it was one
function answered(event, request, answer) {
  let path;
  try {
    path = pathOf(request);
  } catch {
    crooked(event, request, answer);
    return true;
  }
  if (event === "upgrade" || !`${path}/`.startsWith(APIS)) return false;
  if (!ENGINE) {
    refuse(answer, OFF);
    return true;
  }
  // Object.assign would take as long as all the rest
  answer.writeHead = ONLY_THE_ENGINE.writeHead;
  answer.write = ONLY_THE_ENGINE.write;
  answer.end = ONLY_THE_ENGINE.end;
  return false;
}

for (const { Server } of [http, https]) {
  const { emit } = Server.prototype;
  Server.prototype.emit = function (event, one, other, head) {
    const asks = event === "request" || event === "upgrade";
    return (asks && answered(event, one, other)) || emit.call(this, event, one, other, head);
  };
}
