/** Heads of HTTP/1.1 messages (RFC 9112), as far as a proxy needs them. Strict: what two readers could understand
 * differently is refused, so that nothing can be smuggled past one of them. */

import type { Read } from "./socks5.ts";

// Chosen here.
export const HTTP_HEAD_LEN_MAX = 16_384;
const FIELDS_MAX = 256;

/** In the order and with the letters that they came with; values without white space around. */
export type HttpFields = readonly (readonly [name: string, value: string])[];

export interface HttpRequestHead {
  readonly method: string;
  readonly target: string;
  /** Of HTTP/1.x. */
  readonly minor: number;
  readonly fields: HttpFields;
}

export interface HttpResponseHead {
  readonly minor: number;
  readonly status: number;
  readonly reason: string;
  readonly fields: HttpFields;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21-\\x7e]+) HTTP/1\\.([01])$`);
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const FIELD_LINE = new RegExp(`^(${TOKEN}):[ \\t]*([\\t\\x20-\\x7e\\x80-\\xff]*?)[ \\t]*$`);

/** RFC 9112 §3. */
export function readRequestHead(bytes: Uint8Array): Read<HttpRequestHead> {
  const head = readLines(bytes);
  if (typeof head === "string") return head;
  const match = REQUEST_LINE.exec(head.lines[0]);
  const fields = fieldsOf(head.lines);
  if (match === null || fields === undefined) return "malformed";
  return { method: match[1], target: match[2], minor: Number(match[3]), fields, len: head.len };
}

/** RFC 9112 §4. */
export function readResponseHead(bytes: Uint8Array): Read<HttpResponseHead> {
  const head = readLines(bytes);
  if (typeof head === "string") return head;
  const match = STATUS_LINE.exec(head.lines[0]);
  const fields = fieldsOf(head.lines);
  if (match === null || fields === undefined) return "malformed";
  const [, minor, status, reason = ""] = match;
  return { minor: Number(minor), status: Number(status), reason, fields, len: head.len };
}

/** Lines up to the empty one. Latin-1, so that what is passed on has the same bytes. */
function readLines(bytes: Uint8Array): Read<{ readonly lines: readonly string[] }> {
  const end = endOfHead(bytes);
  if (end < 0) return bytes.length >= HTTP_HEAD_LEN_MAX ? "malformed" : "more";
  let text = "";
  for (let at = 0; at < end; at += 4096) {
    text += String.fromCharCode(...bytes.subarray(at, Math.min(at + 4096, end)));
  }
  return { lines: text.split("\r\n"), len: end + 4 };
}

/** Where CR LF CR LF begins, or -1. */
function endOfHead(bytes: Uint8Array): number {
  const last = Math.min(bytes.length, HTTP_HEAD_LEN_MAX) - 4;
  for (let at = bytes.indexOf(13); at >= 0 && at <= last; at = bytes.indexOf(13, at + 1)) {
    if (bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at;
  }
  return -1;
}

/** RFC 9112 §5: no folded lines (§5.2), no white space before the colon (§5.1). */
function fieldsOf(lines: readonly string[]): HttpFields | undefined {
  if (lines.length - 1 > FIELDS_MAX) return undefined;
  const fields: [string, string][] = [];
  for (const line of lines.slice(1)) {
    const match = FIELD_LINE.exec(line);
    if (match === null) return undefined;
    fields.push([match[1], match[2]]);
  }
  return fields;
}

/** Values of the field `name` (lower case), in order. */
export function valuesOf(fields: HttpFields, name: string): string[] {
  return fields.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value);
}

/** Members of the comma-separated lists in all fields of `name`, lower case. */
export function listOf(fields: HttpFields, name: string): string[] {
  return valuesOf(fields, name).flatMap((value) => value.split(","))
    .map((item) => item.trim().toLowerCase()).filter((item) => item !== "");
}

/** A head as bytes: `line` and the fields. */
export function emitHead(line: string, fields: HttpFields): Uint8Array {
  const text = [line, ...fields.map(([name, value]) => `${name}: ${value}`), "", ""].join("\r\n");
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** How the end of a request's body is known (RFC 9112 §6.3); `"malformed"` where it could be read in two ways. */
export type HttpBody = { readonly kind: "length"; readonly len: number } | { readonly kind: "chunked" };

export function bodyOf({ fields, minor }: HttpRequestHead): HttpBody | "malformed" {
  const codings = listOf(fields, "transfer-encoding");
  const lens = valuesOf(fields, "content-length");
  if (codings.length > 0) {
    // RFC 9112 §6.1, §6.3: with a Content-Length beside it, or in HTTP/1.0, it smells of smuggling.
    const isPlain = codings.at(-1) === "chunked" && lens.length === 0 && minor === 1;
    return isPlain && codings.indexOf("chunked") === codings.length - 1 ? { kind: "chunked" } : "malformed";
  }
  if (lens.length === 0) return { kind: "length", len: 0 };
  const isOne = lens.every((len) => len === lens[0]) && /^\d{1,15}$/.test(lens[0]);
  return isOne ? { kind: "length", len: Number(lens[0]) } : "malformed";
}
