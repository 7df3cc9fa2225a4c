import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { concat, fromHex, toHex } from "../../../src/base/mod.ts";
import { RESET_REASON } from "../../../src/ports/streams.ts";
import { refuse, settled } from "./fakes.ts";
import { Sides } from "./sides.ts";

const bytesOf = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const textOf = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const USERS = {
  accepts: (user: Uint8Array, password: Uint8Array) => textOf(user) === "ann" && textOf(password) === "pw",
};
const TO_9999 = "0501000109090909" + "0050"; // 9.9.9.9:80

/** What a program hears that says `hex` (or text) and then nothing, until the proxy ends the connection. */
async function answer(sides: Sides, said: Uint8Array, waitMs = 0): Promise<Uint8Array> {
  const program = await sides.connect();
  await program.write(said);
  const heard = program.readToEnd();
  await sides.timers.pass(waitMs);
  await program.closeWrite();
  await sides.timers.pass(0);
  return heard;
}

Deno.test("the proxy answers each reason of a refusal with its SOCKS reply and its HTTP status", async () => {
  const expected: [reason: number, reply: number, status: number][] = [
    [RESET_REASON.generalFailure, 1, 502],
    [RESET_REASON.notAllowed, 2, 403],
    [RESET_REASON.networkUnreachable, 3, 502],
    [RESET_REASON.hostUnreachable, 4, 502],
    [RESET_REASON.connectionRefused, 5, 502],
    [RESET_REASON.timedOut, 6, 504],
    [RESET_REASON.limit, 1, 503],
  ];
  for (const [reason, reply, status] of expected) {
    const sides = await Sides.open({ answer: refuse(reason) });
    const socks5 = await answer(sides, fromHex("050100" + TO_9999));
    equal(toHex(socks5), "0500" + `050${reply}0001000000000000`);
    equal(toHex(await answer(sides, fromHex("040100500909090900"))), "005b000000000000");
    for (const line of ["CONNECT 9.9.9.9:80", "GET http://9.9.9.9/"]) {
      const http = textOf(await answer(sides, bytesOf(`${line} HTTP/1.1\r\n\r\n`)));
      ok(http.startsWith(`HTTP/1.1 ${status} `), http);
    }
    equal(sides.clientCounts.get("opens_refused"), 4);
    equal(sides.left, 0);
  }
});

Deno.test("the proxy answers malformed, slow and unfinished requests, counts them, and serves others meanwhile", async () => {
  const head = "GET http://9.9.9.9/ HTTP/1.1\r\n";
  const cases: [said: Uint8Array, heard: string, count: "requests_malformed" | "requests_slow"][] = [
    [fromHex("0500"), toHex(fromHex("05ff")), "requests_malformed"],
    [fromHex("160301"), "", "requests_malformed"],
    [fromHex("00"), "", "requests_malformed"],
    [fromHex("05010004"), "050005010001000000000000", "requests_malformed"],
    [fromHex("050100050100"), "050005010001000000000000", "requests_slow"],
    [fromHex("0503"), "05ff", "requests_slow"],
    [fromHex("0401"), "005b000000000000", "requests_slow"],
    [fromHex("0401000109090909" + "61".repeat(300)), "005b000000000000", "requests_malformed"],
    [bytesOf(head), "HTTP/1.1 408 ", "requests_slow"],
    [bytesOf(head + "bad\r\n\r\n"), "HTTP/1.1 400 ", "requests_malformed"],
    [bytesOf(head + "a".repeat(20_000)), "HTTP/1.1 400 ", "requests_malformed"],
  ];
  const sides = await Sides.open();
  const other = await sides.connect();
  await other.write(fromHex("050100"));
  for (const [said, heard, count] of cases) {
    const before = sides.clientCounts.get(count);
    const got = await answer(sides, said, 15_000);
    const text = heard.startsWith("HTTP") ? textOf(got.subarray(0, heard.length)) : toHex(got);
    equal(text, heard, textOf(said.subarray(0, 40)));
    equal(
      sides.clientCounts.get(count),
      before + (count === "requests_slow" && said[0] === 5 && said.length === 2 ? 1 : 1),
    );
  }
  sides.client.close();
  await sides.timers.pass(20_000);
  equal(sides.left, 0);
});

Deno.test("the proxy refuses commands and kinds of address that it has none of, with the reply for that", async () => {
  const sides = await Sides.open();
  const cases: [said: string, heard: string][] = [
    ["050100" + "0502000109090909" + "0050", "07"],
    ["050100" + "0509000109090909" + "0050", "07"],
    ["050100" + "05010002" + "0909", "08"],
    ["050100" + "0501000302" + "2e2e" + "0050", "04"],
  ];
  for (const [said, reply] of cases) {
    equal(toHex(await answer(sides, fromHex(said))), `0500` + `05${reply}0001000000000000`);
  }
  equal(toHex(await answer(sides, fromHex("0402" + "0050" + "09090909" + "00"))), "005b000000000000");
  ok(textOf(await answer(sides, bytesOf("GET / HTTP/1.1\r\n\r\n"))).startsWith("HTTP/1.1 400 "));
  equal(sides.clientCounts.get("requests_refused_command"), 6);
  deepEqual([sides.far.tried.length, sides.left], [0, 0]);
});

Deno.test("the proxy lets in who has a password where one is needed, and nobody else, in each protocol", async () => {
  const sides = await Sides.open({
    client: { users: USERS },
    answer: refuse(RESET_REASON.connectionRefused),
  });
  const ask = (fields: string) => bytesOf(`CONNECT 9.9.9.9:80 HTTP/1.1\r\n${fields}\r\n`);
  const refused: [said: Uint8Array, heard: string][] = [
    [fromHex("050100"), "05ff"],
    [fromHex("05020002" + "0103616e6e026e6f"), "05020101"],
    [fromHex("040100500909090900"), "005b000000000000"],
    [ask(""), "HTTP/1.1 407 "],
    [ask(`Proxy-Authorization: Basic ${btoa("ann:no")}\r\n`), "HTTP/1.1 407 "],
  ];
  for (const [said, heard] of refused) {
    const got = await answer(sides, said);
    equal(heard.startsWith("HTTP") ? textOf(got.subarray(0, heard.length)) : toHex(got), heard);
  }
  equal(sides.clientCounts.get("requests_refused_password"), 5);
  equal(sides.far.tried.length, 0);
  const let5 = await answer(sides, fromHex("05020002" + "0103616e6e027077" + TO_9999));
  equal(toHex(let5), "0502" + "0100" + "05050001000000000000");
  const letHttp = await answer(sides, ask(`Proxy-Authorization: Basic ${btoa("ann:pw")}\r\n`));
  ok(textOf(letHttp).startsWith("HTTP/1.1 502 "));
  equal(sides.far.tried.length, 2);
});

Deno.test("the proxy takes any name and password where none is needed, and asks only who offers nothing else", async () => {
  const sides = await Sides.open({ answer: refuse(RESET_REASON.connectionRefused) });
  equal(toHex(await answer(sides, fromHex("05020002" + TO_9999))), "0500" + "05050001000000000000");
  equal(
    toHex(await answer(sides, fromHex("050102" + "01017801" + "79" + TO_9999))),
    "0502" + "0100" + "05050001000000000000",
  );
});

Deno.test("names go to the far end as they are, and are looked up there", async () => {
  const sides = await Sides.open({ names: { "a.example": ["9.9.9.9"] } });
  const program = await sides.connect();
  await program.write(fromHex("050100" + "0501000309" + "612e6578616d706c65" + "0050"));
  equal(toHex(await program.readExactly(12)), "0500" + "050000017f0000010438");
  deepEqual(sides.lookedUp, ["a.example"]);
  deepEqual(sides.near.tried, []);
});

Deno.test("bytes pass both ways, and an end of either direction is handed on alone", async () => {
  const sides = await Sides.open();
  const program = await sides.connect();
  await program.write(concat(fromHex("050100" + TO_9999), bytesOf("early")));
  await program.readExactly(12);
  await program.write(bytesOf(" and late"));
  await program.closeWrite();
  const [far] = sides.far.far;
  equal(textOf(await far.readToEnd()), "early and late");
  await far.write(bytesOf("answer"));
  await far.closeWrite();
  equal(textOf(await program.readToEnd()), "answer");
  await settled();
  equal(sides.left, 0);
});

Deno.test("a reset of either end is a reset at the other", async () => {
  for (const which of ["far", "program"] as const) {
    const sides = await Sides.open();
    const program = await sides.connect();
    await program.write(fromHex("050100" + TO_9999));
    await program.readExactly(12);
    const [far] = sides.far.far;
    const [from, to] = which === "far" ? [far, program] : [program, far];
    from.reset();
    let reset = false;
    await to.readToEnd().catch(() => reset = true);
    ok(reset, `${which} was reset`);
    await settled();
    equal(sides.left, 0);
  }
});

Deno.test("a program that does not read stops the far end, and nothing else, until it reads", async () => {
  const sides = await Sides.open();
  const [slow, quick] = [await sides.connect(), await sides.connect()];
  for (const program of [slow, quick]) {
    await program.write(fromHex("050100" + TO_9999));
    await program.readExactly(12);
  }
  const [slowFar, quickFar] = sides.far.far;
  const piece = new Uint8Array(10_000);
  let written = 0;
  const writing = (async () => {
    for (; written < 200; written++) await slowFar.write(piece);
    await slowFar.closeWrite();
  })();
  await settled();
  const stalledAt = written;
  ok(stalledAt < 100, `stopped after ${stalledAt} pieces`);
  await quickFar.write(bytesOf("quick"));
  equal(textOf(await quick.readExactly(5)), "quick");
  equal(written, stalledAt);
  equal((await slow.readToEnd()).length, 2_000_000);
  await writing;
});

Deno.test("a request in absolute form gets one answer, on a connection that then ends", async () => {
  const sides = await Sides.open({ names: { "a.example": ["9.9.9.9"] } });
  const program = await sides.connect();
  await program.write(
    bytesOf(
      "POST http://a.example/x HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyGET http://b/ HTTP/1.1\r\n\r\n",
    ),
  );
  await settled();
  const [far] = sides.far.far;
  const request = await far.readExactly(
    textOf(bytesOf(
      "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
    )).length,
  );
  ok(textOf(request).endsWith("close\r\n\r\nbody"));
  await far.write(bytesOf("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
  await far.closeWrite();
  equal(
    textOf(await program.readToEnd()),
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
  );
  await program.closeWrite();
  await sides.timers.pass(5000);
  equal(sides.left, 0);
});

Deno.test("a program that leaves while its stream is being opened leaves nothing behind", async () => {
  const sides = await Sides.open({ answer: () => new Promise(() => {}) });
  const program = await sides.connect();
  await program.write(fromHex("050100" + TO_9999));
  await settled();
  program.reset();
  await sides.timers.pass(70_000);
  equal(sides.left, 0);
});

Deno.test("connections over the bound are reset at once, and counted", async () => {
  const sides = await Sides.open({ client: { connectionsMax: 2 } });
  const [first] = [await sides.connect(), await sides.connect()];
  const third = await sides.connect();
  let reset = false;
  await third.readToEnd().catch(() => reset = true);
  ok(reset);
  equal(sides.clientCounts.get("connections_refused_limit"), 1);
  first.reset();
  await settled();
  const fourth = await sides.connect();
  await fourth.write(fromHex("050100"));
  equal(toHex(await fourth.readExactly(2)), "0500");
});

Deno.test("whatever programs say, and however they leave, nothing of them stays and others are served", async () => {
  const beginnings = [
    ["", "05", "050100", "050102", "05010205", "050100" + TO_9999, "050100" + "0503000100000000" + "0000"],
    [
      "050100" + "05010003",
      "040100500909090900",
      "0401005000000001",
      toHex(bytesOf("GET http://9.9.9.9/ HTTP/1.1\r\n")),
    ],
    [toHex(bytesOf("CONNECT 9.9.9.9:80 HTTP/1.1\r\n\r\n")), "16030100"],
  ].flat().map(fromHex);
  const said = fc.record({
    start: fc.constantFrom(...beginnings),
    rest: fc.uint8Array({ maxLength: 60 }),
    cut: fc.nat(40),
    leaves: fc.constantFrom("closeWrite" as const, "close" as const, "reset" as const),
  });
  const programs = fc.array(said, { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(programs, async (programs) => {
      const sides = await Sides.open();
      const good = await sides.connect();
      await good.write(fromHex("050100" + TO_9999));
      await good.readExactly(12);
      for (const { start, rest, cut, leaves } of programs) {
        const program = await sides.connect();
        const bytes = concat(start, rest);
        await program.write(bytes.subarray(0, cut));
        await settled();
        await program.write(bytes.subarray(cut)).catch(() => {}); // it may have been refused by now
        program[leaves]();
      }
      await sides.timers.pass(0);
      await good.write(bytesOf("still"));
      equal(textOf(await sides.far.far[0].readExactly(5)), "still");
      for (const far of sides.far.far) far.close();
      good.close();
      sides.client.close();
      await sides.timers.pass(100_000);
      equal(sides.left, 0);
    }),
    { numRuns: 150 },
  );
});
