import { deepStrictEqual as equal, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import {
  emitPlaintextHeader,
  parsePlaintextHeader,
  PLAINTEXT_HEADER_LEN,
  PlaintextHeader,
} from "../../../src/wire/dtls_plaintext_header.ts";
import {
  CIPHERTEXT_LEN_MAX,
  CIPHERTEXT_LEN_MIN,
  emitUnifiedHeader,
  isUnifiedHeader,
  parseUnifiedHeader,
  UnifiedHeader,
} from "../../../src/wire/dtls_unified_header.ts";

/** Every form: connection id or none, 8 or 16 bits, with and without length, four epochs. */
const FORMS = [0, 1, 8, 255].flatMap((cidLen) =>
  [1, 2].flatMap((sequenceLen) =>
    [true, false].flatMap((hasLength) =>
      [0, 1, 2, 3].map((epochBits) => ({ cidLen, sequenceLen, hasLength, epochBits }))
    )
  )
);

function headerOf(form: typeof FORMS[number], sequenceBits: number, bodyLen: number): UnifiedHeader {
  const header = new UnifiedHeader();
  header.epochBits = form.epochBits;
  header.sequenceLen = form.sequenceLen;
  header.sequenceBits = sequenceBits % 256 ** form.sequenceLen;
  header.hasLength = form.hasLength;
  header.bodyLen = bodyLen;
  header.cidLen = form.cidLen;
  header.sequenceOff = 1 + form.cidLen;
  header.headerLen = 1 + form.cidLen + form.sequenceLen + (form.hasLength ? 2 : 0);
  return header;
}

for (const form of FORMS) {
  const name = `connection id of ${form.cidLen}, ${8 * form.sequenceLen} bits, ` +
    `${form.hasLength ? "with" : "without"} length, epoch bits ${form.epochBits}`;
  Deno.test(`parseUnifiedHeader() inverts emitUnifiedHeader(): ${name}`, () => {
    const cid = new Uint8Array(form.cidLen).fill(0xc1);
    fc.assert(
      fc.property(fc.nat(0xffff), fc.integer({ min: 16, max: 300 }), fc.nat(9), (bits, bodyLen, off) => {
        const header = headerOf(form, bits, bodyLen);
        const bytes = new Uint8Array(off + header.headerLen + bodyLen).fill(0xa5);
        strictEqual(emitUnifiedHeader(header, cid, bytes.subarray(off)), header.headerLen);
        strictEqual(bytes[off + header.headerLen], 0xa5);
        const parsed = new UnifiedHeader();
        strictEqual(parseUnifiedHeader(bytes, off, bytes.length, form.cidLen, parsed), true);
        equal(parsed, header);
      }),
      { numRuns: 20 },
    );
  });
}

Deno.test("parseUnifiedHeader() refuses a record that its bounds cut, at each length", () => {
  const header = headerOf({ cidLen: 8, sequenceLen: 2, hasLength: true, epochBits: 3 }, 7, 40);
  const bytes = new Uint8Array(header.headerLen + 40);
  emitUnifiedHeader(header, new Uint8Array(8), bytes);
  const parsed = new UnifiedHeader();
  for (let end = 0; end < bytes.length; end++) {
    strictEqual(parseUnifiedHeader(bytes, 0, end, 8, parsed), false, `end ${end}`);
    strictEqual(
      parseUnifiedHeader(bytes.subarray(0, end), 0, bytes.length, 8, parsed),
      false,
      `array ${end}`,
    );
  }
  strictEqual(parseUnifiedHeader(bytes, 0, bytes.length, 8, parsed), true);
});

Deno.test("parseUnifiedHeader() refuses ciphertexts that are too short or too long", () => {
  const form = { cidLen: 0, sequenceLen: 2, hasLength: true, epochBits: 3 };
  const bytes = new Uint8Array(20_000);
  const parsed = new UnifiedHeader();
  const accepts = (bodyLen: number) => {
    const header = headerOf(form, 0, 0);
    emitUnifiedHeader(header, new Uint8Array(0), bytes);
    bytes[3] = bodyLen >> 8;
    bytes[4] = bodyLen;
    return parseUnifiedHeader(bytes, 0, bytes.length, 0, parsed);
  };
  equal([CIPHERTEXT_LEN_MIN - 1, CIPHERTEXT_LEN_MIN].map(accepts), [false, true]);
  equal([CIPHERTEXT_LEN_MAX, CIPHERTEXT_LEN_MAX + 1].map(accepts), [true, false]);
  bytes[0] &= ~0x04; // without length: the rest of a datagram of 20,000 bytes is too long
  strictEqual(parseUnifiedHeader(bytes, 0, bytes.length, 0, parsed), false);
  strictEqual(parseUnifiedHeader(bytes, 0, 3 + CIPHERTEXT_LEN_MIN - 1, 0, parsed), false);
  strictEqual(parseUnifiedHeader(bytes, 0, 3 + CIPHERTEXT_LEN_MIN, 0, parsed), true);
});

Deno.test("parseUnifiedHeader() refuses a connection id where none was agreed, and reads a record without one", () => {
  const bytes = new Uint8Array(64);
  const parsed = new UnifiedHeader();
  bytes[0] = 0x3f;
  strictEqual(parseUnifiedHeader(bytes, 0, 64, 0, parsed), false);
  bytes[0] = 0x2b;
  strictEqual(parseUnifiedHeader(bytes, 0, 64, 8, parsed), true);
  equal([parsed.cidLen, parsed.sequenceOff, parsed.bodyLen], [0, 1, 61]);
});

Deno.test("isUnifiedHeader() is true for first bytes 32 to 63 alone", () => {
  const found = Array.from({ length: 256 }, (_, byte) => byte).filter(isUnifiedHeader);
  equal(found, Array.from({ length: 32 }, (_, i) => 32 + i));
});

Deno.test("emitUnifiedHeader() throws for what no header can hold", () => {
  const out = new Uint8Array(300);
  const form = { cidLen: 0, sequenceLen: 2, hasLength: true, epochBits: 3 };
  throws(
    () => emitUnifiedHeader(headerOf({ ...form, sequenceLen: 3 }, 0, 20), new Uint8Array(0), out),
    /Defect/,
  );
  throws(() => emitUnifiedHeader(headerOf(form, 0, 20), new Uint8Array(256), out), /Defect/);
  throws(
    () => emitUnifiedHeader(headerOf(form, 0, CIPHERTEXT_LEN_MAX + 1), new Uint8Array(0), out),
    /Defect/,
  );
});

Deno.test("parsePlaintextHeader() inverts emitPlaintextHeader()", () => {
  const u8 = fc.nat(0xff);
  const u16 = fc.nat(0xffff);
  const fields = fc.tuple(u8, u16, u16, fc.maxSafeNat(), fc.nat(400), fc.nat(9));
  fc.assert(fc.property(fields, ([contentType, version, epoch, number, bodyLen, off]) => {
    const header = Object.assign(new PlaintextHeader(), {
      contentType,
      version,
      epoch,
      sequenceNumber: number % 2 ** 48,
      bodyLen,
    });
    const bytes = new Uint8Array(off + PLAINTEXT_HEADER_LEN + bodyLen).fill(0xa5);
    strictEqual(emitPlaintextHeader(header, bytes.subarray(off)), PLAINTEXT_HEADER_LEN);
    const parsed = new PlaintextHeader();
    strictEqual(parsePlaintextHeader(bytes, off, bytes.length, parsed), true);
    equal(parsed, header);
    strictEqual(parsePlaintextHeader(bytes, off, bytes.length - 1, parsed), false);
  }));
});

Deno.test("parsePlaintextHeader() refuses a content of more than 2^14 bytes", () => {
  const bytes = new Uint8Array(20_000);
  const parsed = new PlaintextHeader();
  const accepts = (bodyLen: number) => {
    bytes[11] = bodyLen >> 8;
    bytes[12] = bodyLen;
    return parsePlaintextHeader(bytes, 0, bytes.length, parsed);
  };
  equal([0, 2 ** 14, 2 ** 14 + 1].map(accepts), [true, true, false]);
});
