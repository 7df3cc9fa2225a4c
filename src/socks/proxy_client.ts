/* One program's connection to the proxy: 1 its first byte tells SOCKS5, SOCKS4 or HTTP · 2 who it is, where that is
 * asked · 3 where it wants to · 4 a stream there, whose fate is the answer · 5 bytes both ways. */

import { concat } from "../base/mod.ts";
import type { ByteConnection, Sockets } from "../ports/sockets.ts";
import { RESET_REASON, type StreamAddress } from "../ports/streams.ts";
import type { Destination } from "../wire/host_port.ts";
import { readRequestHead } from "../wire/http_head.ts";
import * as socks5 from "../wire/socks5.ts";
import { HttpExchange } from "./http_exchange.ts";
import { basicCredentials, CONNECTED, emitRefusal, HTTP_STATUS, orderOf } from "./http_order.ts";
import { ClientError, type ClientFault, Input } from "./input.ts";
import { reasonOf } from "./local_stream.ts";
import { type OpenContext, type Opened, openTo } from "./open_stream.ts";
import { Relay, type RelayOptions } from "./relay.ts";
import { destinationOf } from "./stream_target.ts";
import { associate } from "./udp_association.ts";

// Chosen here.
const REQUEST_MS = 15_000;
const FAREWELL_MS = 2000;
const FAREWELL_LEN_MAX = 1 << 20;

export interface ProxyContext extends OpenContext {
  readonly sockets: Pick<Sockets, "packets">;
  /** Who may use the proxy; undefined: everybody, with any name and password. */
  readonly users: { accepts(user: Uint8Array, password: Uint8Array): boolean } | undefined;
}

/** Answers of one protocol. */
interface Answers {
  granted(bound: StreamAddress): Uint8Array;
  /** For a RESET_REASON. */
  refused(reason: number): Uint8Array;
}

const SOCKS5: Answers = {
  granted: (bound) => socks5.emitReply(socks5.REPLY.succeeded, destinationOf(bound)),
  refused: (reason) => socks5.emitReply(replyOf(reason)),
};
const SOCKS4: Answers = {
  granted: () => socks5.emitReply4(socks5.SOCKS4_REPLY.granted),
  refused: () => socks5.emitReply4(socks5.SOCKS4_REPLY.rejected),
};
const FORWARDED: Answers = {
  granted: () => new Uint8Array(), // the answer is the origin's
  refused: (reason) => HTTP.refused(reason),
};
const HTTP: Answers = {
  granted: () => CONNECTED,
  refused: (reason) => emitRefusal(statusOf(reason), `The far end could not connect (${nameOf(reason)}).`),
};

/** RFC 1928 §6. The first eight reasons are its reply codes. */
function replyOf(reason: number): number {
  if (reason >= 1 && reason <= 8) return reason;
  return reason === RESET_REASON.timedOut ? socks5.REPLY.ttlExpired : socks5.REPLY.generalFailure;
}

function statusOf(reason: number): number {
  switch (reason) {
    case RESET_REASON.notAllowed:
      return HTTP_STATUS.forbidden;
    case RESET_REASON.timedOut:
    case RESET_REASON.ttlExpired:
      return HTTP_STATUS.gatewayTimeout;
    case RESET_REASON.limit:
    case RESET_REASON.sessionLost:
      return HTTP_STATUS.unavailable;
    default:
      return HTTP_STATUS.badGateway;
  }
}

function nameOf(reason: number): string {
  return Object.entries(RESET_REASON).find(([, value]) => value === reason)?.[0] ?? String(reason);
}

/** Serves one connection to its end. Never rejects. */
export async function serveClient(context: ProxyContext, connection: ByteConnection): Promise<void> {
  const input = new Input(connection, context.timers, REQUEST_MS);
  let words: Uint8Array | undefined;
  try {
    words = await serve(context, connection, input);
  } catch (error) {
    // Anything else is a socket that failed.
    const fault = error instanceof ClientError ? error : new ClientError("gone");
    context.count(`requests_${fault.kind}`);
    words = fault.words;
  }
  input.rest();
  if (words === undefined) connection.close();
  else await farewell(context, connection, words);
}

/** Returns what the client is to be told at the end, if anything. */
async function serve(
  context: ProxyContext,
  connection: ByteConnection,
  input: Input,
): Promise<Uint8Array | undefined> {
  const first = await input.first();
  if (first === socks5.SOCKS_VERSION) return serveSocks5(context, connection, input);
  if (first === socks5.SOCKS4_VERSION) return serveSocks4(context, connection, input);
  if (first >= 0x41 && first <= 0x5a) return serveHttp(context, connection, input); // a method's capital letter
  throw new ClientError("malformed");
}

async function serveSocks5(context: ProxyContext, connection: ByteConnection, input: Input) {
  const { methods } = await input.message(
    socks5.readGreeting,
    () => socks5.emitMethod(socks5.AUTH_METHOD.unacceptable),
  );
  const method = methodOf(methods, context.users !== undefined);
  if (method === socks5.AUTH_METHOD.unacceptable) {
    context.count("requests_refused_password");
    return socks5.emitMethod(method);
  }
  await connection.write(socks5.emitMethod(method));
  if (method === socks5.AUTH_METHOD.password) {
    const refused = socks5.emitCredentialsStatus(false);
    const { user, password } = await input.message(socks5.readCredentials, () => refused);
    if (context.users?.accepts(user, password) === false) {
      context.count("requests_refused_password");
      return refused;
    }
    await connection.write(socks5.emitCredentialsStatus(true));
  }
  const failure = () => socks5.emitReply(socks5.REPLY.generalFailure);
  const { command, to } = await input.message(socks5.readRequest, failure);
  if (command === socks5.COMMAND.associate && typeof to !== "number") {
    return associate(context, connection, input, to);
  }
  return connectSocks(context, connection, input, command, to, SOCKS5);
}

/** RFC 1928 §3: of what the client offers. Its name and password, if it has any, are only asked for where they count,
 * or where it insists: every connection is a stream of its own, so different names share nothing. */
function methodOf(methods: Uint8Array, needsPassword: boolean): number {
  const { none, password, unacceptable } = socks5.AUTH_METHOD;
  if (!needsPassword && methods.includes(none)) return none;
  return methods.includes(password) ? password : unacceptable;
}

async function serveSocks4(context: ProxyContext, connection: ByteConnection, input: Input) {
  const rejected = socks5.emitReply4(socks5.SOCKS4_REPLY.rejected);
  const { command, to } = await input.message(socks5.readRequest4, () => rejected);
  if (context.users !== undefined) { // version 4 has no passwords
    context.count("requests_refused_password");
    return rejected;
  }
  return connectSocks(context, connection, input, command, to, SOCKS4);
}

function connectSocks(
  context: ProxyContext,
  connection: ByteConnection,
  input: Input,
  command: number,
  to: Destination | number,
  answers: Answers,
): Promise<Uint8Array | undefined> | Uint8Array {
  const isConnect = command === socks5.COMMAND.connect;
  if (isConnect && typeof to !== "number") return connect(context, connection, to, input.rest(), answers);
  context.count("requests_refused_command");
  return answers.refused(isConnect ? to as number : RESET_REASON.commandNotSupported);
}

async function serveHttp(context: ProxyContext, connection: ByteConnection, input: Input) {
  const request = await input.message(readRequestHead, misunderstood);
  if (context.users !== undefined) {
    const given = basicCredentials(request.fields);
    if (given === undefined || !context.users.accepts(given.user, given.password)) {
      context.count("requests_refused_password");
      return emitRefusal(HTTP_STATUS.authenticationRequired, "A user name and a password are needed.");
    }
  }
  const order = orderOf(request);
  if (order.kind === "refuse") {
    context.count("requests_refused_command");
    return emitRefusal(order.status, "This is a proxy: use CONNECT, or http:// with a whole address.");
  }
  const rest = input.rest();
  if (order.kind === "connect") return connect(context, connection, order.to, rest, HTTP);
  const filter = new HttpExchange(order.head.length, order.body);
  const options = { filter, oneAnswer: true };
  return connect(context, connection, order.to, concat(order.head, rest), FORWARDED, options);
}

function misunderstood(fault: ClientFault): Uint8Array {
  return fault === "slow"
    ? emitRefusal(HTTP_STATUS.requestTimeout, "The request took too long to come.")
    : emitRefusal(HTTP_STATUS.badRequest, "The request cannot be read.");
}

/** A stream to `to`, then bytes both ways, `early` first. Returns the words for a refusal. */
async function connect(
  context: ProxyContext,
  connection: ByteConnection,
  to: Destination,
  early: Uint8Array,
  answers: Answers,
  options?: RelayOptions,
): Promise<Uint8Array | undefined> {
  let opened: Opened;
  try {
    opened = await openTo(context, to);
  } catch (error) {
    return answers.refused(reasonOf(error));
  }
  const relay = new Relay(connection, opened.stream, context.timers, options);
  await connection.write(answers.granted(opened.bound)).catch(() => relay.fail(RESET_REASON.peerReset));
  await relay.run(early);
  return undefined;
}

/** Sends the last words so that they arrive: a socket closed over unread bytes would take them back. */
async function farewell(
  { timers }: ProxyContext,
  connection: ByteConnection,
  words: Uint8Array,
): Promise<void> {
  const callOff = timers.after(FAREWELL_MS, () => connection.close());
  try {
    await connection.write(words);
    await connection.closeWrite();
    const buffer = new Uint8Array(2048);
    for (let len = 0; len < FAREWELL_LEN_MAX;) {
      const count = await connection.read(buffer);
      if (count === null) break;
      len += count;
    }
  } catch {
    // The client has gone: nobody is left to be told.
  }
  callOff();
  connection.close();
}
