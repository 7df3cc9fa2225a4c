import assert from "node:assert/strict";
import { reportPage } from "../../../src/audit/report.ts";

const look = (records: number) => ({
  role: "client",
  version: "9.9",
  uptime_s: 7200,
  timing: { noFifo: false, cpu: 1, leadNs: 150e3, wakeP999Ns: 140e3 },
  counters: { inner_dropped_queue_full: 7, records_failed: 0 },
  peers: [{
    name: "<home>",
    state: "up",
    slots: { slots: 1000 + records, records, data_records: records / 2, skipped: 3, late: 2 },
    deviation: { p50_ns: 50, p99_ns: 900, max_ns: 12e3, histogram: [[48, 900], [896, 100]] },
  }],
});

Deno.test("reportPage() shows slots, deviations, rates and what was dropped", () => {
  const samples = [{ atS: 0, document: look(1000) }, { atS: 2, document: look(3000) }];
  const page = reportPage(samples, "2026-01-01");
  assert.match(page, /client, up 2\.00 h/);
  assert.ok(!page.includes("<home>") && page.includes("&lt;home&gt;"));
  assert.match(page, /<b>3<\/b> skipped/);
  assert.match(page, /P99<\/th><td>0\.900/);
  assert.match(page, /inner dropped queue full<\/th><td>7/);
  assert.ok(!page.includes("records failed"));
  assert.equal(page.match(/<svg/g)?.length, 2);
  assert.match(page, /No transmit stamps/);
});

Deno.test("reportPage() shows when packets left, where the kernel tells", () => {
  const transmit = {
    count: 1000,
    p50_ns: 2100,
    p99_ns: 5000,
    max_ns: 22e3,
    histogram: [[2048, 900], [4096, 100]],
  };
  const page = reportPage([{ atS: 0, document: { ...look(1000), transmit } }], "");
  assert.match(page, /stamps from plan \(1000\)/);
  assert.match(page, /P50<\/th><td>2\.100/);
  assert.equal(page.match(/<svg/g)?.length, 3);
});

Deno.test("reportPage() makes something of every document", () => {
  for (const document of [undefined, null, 5, "x", [], {}, { peers: [1, {}], counters: 4, timing: [] }]) {
    assert.match(reportPage([{ atS: 0, document }], ""), /<\/html>/);
  }
});
