/** What an HTTP client asks of a proxy, and what becomes of the heads that pass through it (RFC 9110, RFC 9112). */

import { type Destination, parseDestination } from "../wire/host_port.ts";
import type { HttpBody, HttpFields, HttpRequestHead, HttpResponseHead } from "../wire/http_head.ts";
import { bodyOf, emitHead, listOf, valuesOf } from "../wire/http_head.ts";
import type { Credentials } from "../wire/socks5.ts";

export const HTTP_STATUS = {
  badRequest: 400,
  forbidden: 403,
  authenticationRequired: 407,
  requestTimeout: 408,
  badGateway: 502,
  unavailable: 503,
  gatewayTimeout: 504,
} as const;

const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** Fields of one hop only (RFC 9110 §7.6.1), and those that the proxy writes itself. Transfer-Encoding stays, as the
 * body is passed on as it is. No Via (§7.6.3): it would tell every origin that this program is used. */
const HOP_FIELDS = [
  "connection",
  "proxy-connection",
  "keep-alive",
  "te",
  "upgrade",
  "proxy-authorization",
  "proxy-authenticate",
];

export type HttpOrder =
  | { readonly kind: "connect"; readonly to: Destination }
  /** Send `head` to the origin, then as much as `body` says. */
  | { readonly kind: "forward"; readonly to: Destination; readonly head: Uint8Array; readonly body: HttpBody }
  | { readonly kind: "refuse"; readonly status: number };

export function orderOf(request: HttpRequestHead): HttpOrder {
  const refusal = { kind: "refuse", status: HTTP_STATUS.badRequest } as const;
  if (request.method === "CONNECT") {
    const to = parseDestination(request.target); // RFC 9112 §3.2.3: the port is always there
    return to === undefined ? refusal : { kind: "connect", to };
  }
  const target = absoluteTarget(request);
  const body = bodyOf(request);
  if (target === undefined || body === "malformed") return refusal;
  const head = originHead(request, target.authority, target.path);
  return { kind: "forward", to: target.to, head, body };
}

/** RFC 9112 §3.2.2, http only: what is encrypted comes by CONNECT. */
function absoluteTarget({ method, target }: HttpRequestHead) {
  const match = /^http:\/\/(?:[^@/?#]*@)?([^@/?#]+)(\/[^#]*|\?[^#]*)?$/i.exec(target);
  if (match === null) return undefined;
  const [, authority, rest = ""] = match;
  const to = parseDestination(authority.replace(/:$/, ""), 80);
  if (to === undefined) return undefined;
  // RFC 9112 §3.2.4: OPTIONS without a path is for the server as a whole.
  if (rest === "" && method === "OPTIONS") return { to, authority, path: "*" };
  return { to, authority, path: rest.startsWith("/") ? rest : `/${rest}` };
}

/** In origin form, for one request on its own connection. */
function originHead(request: HttpRequestHead, authority: string, path: string): Uint8Array {
  // RFC 9112 §3.2.2: the Host that came is replaced by the target's.
  const fields = passedOn(request.fields).filter(([name]) => name.toLowerCase() !== "host");
  // The client's own version, since it gets the answer as it is.
  const line = `${request.method} ${path} HTTP/1.${request.minor}`;
  return emitHead(line, [["Host", authority], ...fields, ["Connection", "close"]]);
}

/** The origin's head for the client: the connection ends with the response, so that the next request, which may be
 * for another origin, comes on a new one. */
export function clientHead(response: HttpResponseHead): Uint8Array {
  const line = `HTTP/1.${response.minor} ${response.status} ${response.reason}`;
  const isFinal = response.status >= 200;
  return emitHead(line, [...passedOn(response.fields), ...isFinal ? [["Connection", "close"] as const] : []]);
}

function passedOn(fields: HttpFields): HttpFields {
  const named = listOf(fields, "connection");
  return fields.filter(([name]) => {
    const lower = name.toLowerCase();
    const isFraming = lower === "transfer-encoding" || lower === "content-length" || lower === "host";
    return !HOP_FIELDS.includes(lower) && (isFraming || !named.includes(lower));
  });
}

/** Proxy-Authorization: Basic (RFC 7617); `undefined` where there is none that can be read. */
export function basicCredentials(fields: HttpFields): Credentials | undefined {
  const given = valuesOf(fields, "proxy-authorization");
  const match = given.length === 1 ? /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(given[0]) : null;
  if (match === null) return undefined;
  let text: string;
  try {
    text = atob(match[1]);
  } catch {
    return undefined;
  }
  const colon = text.indexOf(":");
  const bytes = (part: string) => Uint8Array.from(part, (char) => char.charCodeAt(0));
  return colon < 0
    ? undefined
    : { user: bytes(text.slice(0, colon)), password: bytes(text.slice(colon + 1)) };
}

export const CONNECTED: Uint8Array = emitHead("HTTP/1.1 200 Connection established", []);

/** A whole answer of the proxy itself, after which it closes; `why` is plain text without line ends. */
export function emitRefusal(status: number, why: string): Uint8Array {
  const body = `${why}\r\n`;
  const challenge = status === HTTP_STATUS.authenticationRequired
    ? [["Proxy-Authenticate", 'Basic realm="i405"'] as const]
    : [];
  const head = emitHead(`HTTP/1.1 ${status} ${REASONS[status]}`, [
    ...challenge,
    ["Content-Type", "text/plain"],
    ["Content-Length", String(body.length)],
    ["Connection", "close"],
  ]);
  const out = new Uint8Array(head.length + body.length);
  out.set(head);
  new TextEncoder().encodeInto(body, out.subarray(head.length));
  return out;
}
