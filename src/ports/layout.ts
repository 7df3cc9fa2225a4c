/** Offsets and lengths, in bytes, of the structs of `c/i405.h` that the core shares with the shim.
 * The twin implementations use the same layouts over an ordinary ArrayBuffer. `tests/ffi/layout_test.ts` holds
 * them equal to the compiler's. */

export const KEY_MATERIAL = { size: 80, suite: 0, key: 4, iv: 36, sn: 48 } as const;

export const RECORD = {
  size: 32,
  src: 0,
  len: 4,
  hdrLen: 8,
  seqOff: 9,
  seqLen: 10,
  key: 12,
  seqLo: 16,
  seqHi: 20,
  dst: 24,
  result: 28,
} as const;

export const ADDR = { size: 24, family: 0, port: 2, scope: 4, ip: 8 } as const;
/** In place of 4 and 6 in ADDR.family: `ip` holds a connection id of 8 bytes. */
export const ADDR_FAMILY_ID = 8;

export const RX = { size: 72, off: 0, len: 4, peer: 8, flags: 12, from: 16, to: 40, timeNs: 64 } as const;
/** `stream`: something that a stream has to tell, a STREAM_EVENT from `eventShift` on; of a datagram there are the two
 * bits of ECN in its IP header. */
export const RX_FLAG = { truncated: 1, stream: 2, byId: 4, eventShift: 4, ecnShift: 4, fdShift: 8 } as const;
export const RX_STRIDE = 2048;
/** Where datagrams are received, several in one piece. */
export const RECEIVE_LEN = 32 * (65_536 + 2112) + 4096;
export const TUN_STRIDE = 2048;
/** What a TUN device with offloads needs beside its buffers: the longest packet and the state of cutting it. */
export const TUN_SPLIT_LEN = 65_600 + 64;
/** What the stack hands over and takes in one piece. */
export const TUN_OFFLOAD = { tso4: 1, tso6: 2, uso4: 4, uso6: 8 } as const;
export const TUN_DESC = { size: 8, off: 0, len: 4 } as const;

export const STREAM_EVENT = { record: 0, connected: 1, ended: 2, accept: 3, malformed: 4 } as const;
export const STREAM_MODE = { paused: 0, step: 1, flow: 2, connecting: 3, listening: 4 } as const;
export type StreamMode = keyof typeof STREAM_MODE;

export const IO = {
  size: 96,
  udpFd0: 0,
  udpFd1: 4,
  tunFd: 8,
  eventFd: 12,
  rxMax: 16,
  tunMax: 20,
  rxDescs: 24,
  rxCap: 28,
  tunDescs: 32,
  tunCap: 36,
  tunBufs: 40,
  epollFd: 44,
  timeoutNs: 48,
  rxCount: 56,
  tunCount: 60,
  event: 64,
  rxErrors: 68,
  nowNs: 72,
  tunDropped: 80,
  tunErrors: 84,
  tunWhole: 88,
  rxWhole: 92,
} as const;

export const TCP_STATE = {
  size: 32,
  mss: 0,
  timestamps: 4,
  sack: 8,
  rttUs: 12,
  window: 16,
  retransmits: 20,
  unacked: 24,
  unsent: 28,
} as const;

export const POLL_MODE = { sleepy: 0, hybrid: 1, spinny: 2 } as const;
export type PollMode = keyof typeof POLL_MODE;
export const PACER_FLAG = { noFifo: 1, noLock: 2, throttled: 4, sharedCpu: 8 } as const;

export const PACER_CONFIG = {
  size: 40,
  pollMode: 0,
  fifo: 4,
  cpu: 8,
  calibrateMs: 12,
  leadNs: 16,
  leadMaxNs: 24,
} as const;

export const PACER_STATE = {
  size: 64,
  running: 0,
  flags: 4,
  cpu: 8,
  tid: 12,
  leadNs: 16,
  wakeP50Ns: 24,
  wakeP99Ns: 32,
  wakeP999Ns: 40,
  stallMaxNs: 48,
  stalls: 56,
} as const;

export const BUF = { headLen: 64, word: 0, kind: 4, count: 8 } as const;
export const BUF_WORD = { free: 0, filling: 1, ready: 2, taken: 3 } as const;
export const BUF_KIND = { plaintext: 0, raw: 1, counted: 2 } as const;

export const RING_CONFIG = {
  size: 112,
  fd: 0,
  datagramLen: 4,
  hdrLen: 8,
  seqOff: 12,
  seqLen: 16,
  burst: 20,
  bufCount: 24,
  timesCount: 28,
  traceCount: 32,
  countOff: 36,
  intervalNs: 40,
  wallBaseNs: 48,
  timeOff: 56,
  stream: 60,
  to: 64,
  from: 88,
} as const;

export const HIST_BUCKETS = 256;
export const RING = {
  size: 48 + 20 * 8 + 4 * HIST_BUCKETS,
  bufs: 0,
  bufStride: 4,
  bufCount: 8,
  plaintextLen: 12,
  times: 16,
  timesCount: 20,
  trace: 24,
  traceCount: 28,
  chaff: 32,
  taken: 36,
  running: 40,
  switches: 44,
  slots: 48,
  records: 56,
  dataRecords: 64,
  skipped: 72,
  late: 80,
  sendErrors: 88,
  dry: 96,
  keyless: 104,
  slotNext: 112,
  slotNextNs: 120,
  seqNext: 128,
  devSumNs: 136,
  devSum2: 144,
  devMaxNs: 152,
  devMinNs: 160,
  timesEnd: 168,
  socketFull: 176,
  shortWrites: 184,
  aside: 192,
  update: 200,
  broken: 204,
  hist: 208,
} as const;

export const TRACE = { size: 32, slot: 0, plannedNs: 8, actualNs: 16, dataRecords: 24, flags: 28 } as const;
export const TRACE_FLAG = { skipped: 1, late: 2, dry: 4, sendError: 8, socketFull: 16 } as const;

export const STAMPS = {
  size: 48 + 4 * HIST_BUCKETS,
  count: 0,
  sumNs: 8,
  sum2: 16,
  maxNs: 24,
  minNs: 32,
  hist: 48,
} as const;

export const FILE_INFO = { size: 12, regular: 0, mode: 4, uid: 8 } as const;

export const SEEN = { size: 80, timeNs: 0, len: 8, direction: 12, head: 16, headLen: 64 } as const;
