import assert from "node:assert/strict";
import { viewDirection } from "../../../src/demo/direction.ts";
import { resultPage } from "../../../src/demo/page.ts";
import type { DemoResult } from "../../../src/demo/result.ts";
import { fixed, resultText } from "../../../src/demo/text.ts";
import { judge } from "../../../src/demo/verdicts.ts";
import { makeDirection, makeUser, PHASES } from "./world.ts";

function makeResult(equal = true): DemoResult {
  const user = makeUser(equal);
  const directions = [viewDirection(makeDirection("client")), viewDirection(makeDirection("server", 2))];
  const promises = judge(user, directions, true);
  return {
    version: "0.1.0",
    date: "2026-01-02T03:04:05.000Z",
    machine: { cpu: "A <fast> CPU & more", cores: 2, kernel: "6.1.0" },
    withRoot: true,
    seconds: 6,
    phases: PHASES,
    user,
    directions,
    promises,
    holds: promises.every(({ holds }) => holds),
  };
}

/** Names of elements that are opened but not closed, or closed but not opened. */
function unbalanced(html: string): string[] {
  const alone = new Set(["meta", "line", "rect", "path", "!doctype"]);
  const open: string[] = [];
  for (const [, slash, name, end] of html.matchAll(/<(\/?)([!a-zA-Z][\w-]*)[^>]*?(\/?)>/g)) {
    if (end === "/" || alone.has(name)) continue;
    if (slash === "") open.push(name);
    else if (open.pop() !== name) return [name, ...open];
  }
  return open;
}

Deno.test("resultPage() is one balanced document", () => {
  const page = resultPage(makeResult());
  assert.match(page, /^<!doctype html>\n<html lang="en">/);
  assert.deepEqual(unbalanced(page.replace(/<style>[^]*?<\/style>/, "")), []);
});

Deno.test("resultPage() fetches nothing from elsewhere and runs no script", () => {
  const page = resultPage(makeResult());
  assert.doesNotMatch(page, /<script|<link|<img|\bsrc=|\bhref=|url\(|@import|https?:/);
});

Deno.test("resultPage() has four plots for each direction and a place for dark readers", () => {
  const page = resultPage(makeResult());
  assert.equal(page.match(/<svg /g)!.length, 8);
  assert.match(page, /prefers-color-scheme: dark/);
  assert.doesNotMatch(page, /NaN|undefined|Infinity/);
});

Deno.test("resultPage() takes nothing that it is told for markup", () => {
  const page = resultPage(makeResult());
  assert.match(page, /A &lt;fast&gt; CPU &amp; more/);
});

Deno.test("resultPage() says in its heading whether the promises held", () => {
  assert.match(resultPage(makeResult()), /<h1>Every promise held<\/h1>/);
  const page = resultPage(makeResult(false));
  assert.match(page, /<h1>A promise is broken<\/h1>/);
  assert.equal(page.match(/<li class="broken">/g)!.length, 1);
});

Deno.test("resultPage() and resultText() also do with a run in which nothing was seen", () => {
  const nothing = viewDirection({ ...makeDirection("client"), frames: [], slots: [] });
  const promises = judge(makeUser(), [nothing], true);
  const result = { ...makeResult(), directions: [nothing], promises, holds: false };
  assert.doesNotMatch(resultPage(result) + resultText(result), /NaN|undefined|Infinity/);
});

Deno.test("resultText() names every promise and what came of it", () => {
  const good = resultText(makeResult());
  assert.equal(good.match(/^ {2}holds /gm)!.length, 11);
  assert.match(good, /Every promise held/);
  assert.match(good, /packets \+ skipped = slots: \d+ \+ 11 = \d+/);
  const bad = resultText(makeResult(false));
  assert.equal(bad.match(/^ {2}BROKEN/gm)!.length, 1);
  assert.match(bad, /At least one promise is broken/);
});

Deno.test("resultPage() and resultText() say what skipped slots are, when there were any", () => {
  const result = makeResult();
  const skipped =
    /kept the pacer from its slots so long that some were skipped: \d\.\d+ ‰ idle, \d\.\d+ ‰ busy/;
  assert.match(resultText(result), skipped);
  assert.match(resultPage(result), skipped);
  const none = makeDirection("client");
  const directions = [viewDirection({ ...none, slots: none.slots.filter((slot) => !slot.skipped) })];
  assert.doesNotMatch(resultText({ ...result, directions }), skipped);
});

Deno.test("fixed() has no minus sign before zero and a dash for no number", () => {
  assert.equal(fixed(-0.001, 2), "0.00");
  assert.equal(fixed(-1.005, 1), "-1.0");
  assert.equal(fixed(NaN, 2), "–");
});
