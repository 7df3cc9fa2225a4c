/* i405's C shim: everything that must be native. One header; each .c includes only this and system headers
 * (aead.c alone: OpenSSL's).
 *
 * Memory: one arena, one mmap, allocated from by slabs. TypeScript sees it as one ArrayBuffer and passes u32
 * OFFSETS into it, never pointers. Offset 0 is never handed out, so 0 means "none" or "failed".
 * Every function checks that offset + length lies inside the arena and returns -EFAULT if not.
 * Results: a count >= 0, or -errno. Nothing here logs. Nothing allocates after i405_pacer_start, but for rings and keys.
 * Times: nanoseconds of CLOCK_MONOTONIC since the process's base (set by the first i405_open), as double:
 * exact for 104 days. */
#ifndef I405_H
#define I405_H
#include <stdint.h>

#define I405_EXPORT __attribute__((visibility("default")))

/* ---- memory (memory.c) ---------------------------------------------------------------------------------- */

/* Maps the arena once per process (NORESERVE, DONTDUMP, WIPEONFORK); later calls (other threads, any length)
 * do nothing and return 0. */
I405_EXPORT int32_t i405_open(uint32_t arena_len);
I405_EXPORT void *i405_base(void);
I405_EXPORT uint32_t i405_arena_len(void);
/* A zeroed block, 64-byte aligned, locked as far as RLIMIT_MEMLOCK allows; 0 when the arena is full. Any thread. */
I405_EXPORT uint32_t i405_alloc(uint32_t len);
/* Wipes and returns a block. `len` must be what was asked for. Any thread. */
I405_EXPORT int32_t i405_free(uint32_t off, uint32_t len);
/* Bytes that could not be locked in memory so far (0 = all locked). */
I405_EXPORT uint32_t i405_unlocked_len(void);
/* Now, in ns since the base. */
I405_EXPORT double i405_now(void);
/* The base: CLOCK_REALTIME ns minus i405_now() at this moment, for turning times into wall-clock ones. */
I405_EXPORT double i405_wall_base(void);

/* ---- record protection (aead.c) -------------------------------------------------------------------------- */

enum { I405_AES_128_GCM = 0x1301, I405_AES_256_GCM = 0x1302, I405_CHACHA20_POLY1305 = 0x1303 };

/* Traffic keys of one direction and epoch, as TypeScript writes them into the arena before i405_key_new. */
struct i405_key_material {
  uint32_t suite; /* TLS cipher suite number */
  uint8_t key[32];
  uint8_t iv[12];
  uint8_t sn[32]; /* sequence number key; unused (zeros) for TLS over TCP */
};
_Static_assert(sizeof(struct i405_key_material) == 80, "ffi/layout.ts reads this struct by offset");

/* Makes a key of the material at `off`, then wipes the material. The expanded key schedules lie in locked,
 * non-dumpable memory. Returns a key id > 0 (never reused while alive) or -errno. Any thread. A key id may be used
 * by one thread for sealing and by another for opening only through two ids. */
I405_EXPORT int32_t i405_key_new(uint32_t off);
I405_EXPORT int32_t i405_key_free(int32_t key);

/* Whether keys made from now on are for the wide AES-GCM of gcm.c, which is so from the start where the processor has it.
 * on < 0: only tells; 1 changes nothing where it has not. Both ways give the same bytes. Any thread. */
I405_EXPORT int32_t i405_aead_wide(int32_t on);

/* One protected record for the batch calls. src = the record's start (its header); the ciphertext with tag
 * follows the header at src + hdr_len. */
struct i405_record {
  uint32_t src;
  uint32_t len;     /* whole record: header + ciphertext + tag */
  uint8_t hdr_len;  /* AAD = these bytes with the sequence number in clear */
  uint8_t seq_off;  /* where the sequence number lies in the header */
  uint8_t seq_len;  /* 0 (TLS over TCP), 1 or 2 */
  uint8_t pad;
  int32_t key;
  uint32_t seq_lo;  /* the whole 64-bit record sequence number, for the nonce */
  uint32_t seq_hi;
  uint32_t dst;     /* plaintext (open: written; seal: read). May not overlap src..src+len. */
  int32_t result;   /* open: plaintext length (content type byte included) or -EBADMSG; seal: len; or -errno */
};
_Static_assert(sizeof(struct i405_record) == 32, "ffi/layout.ts reads this struct by offset");

/* Removes (or adds: it is its own inverse) record number encryption in place, RFC 9147 section 4.2.3. A record
 * shorter than hdr_len + 16 gets result -EBADMSG; others 0. Returns the count processed. */
I405_EXPORT int32_t i405_unmask_batch(uint32_t records, uint32_t count);
/* Opens records whose number is in clear; ciphertext is left as it is, plaintext goes to dst. Returns how many
 * opened. */
I405_EXPORT int32_t i405_open_batch(uint32_t records, uint32_t count);
/* Seals: header template at src (sequence number in clear already), plaintext of len - hdr_len - 16 bytes at dst;
 * writes ciphertext and tag after the header, then encrypts the number. Used by tests and for the pacer's twin. */
I405_EXPORT int32_t i405_seal_batch(uint32_t records, uint32_t count);

/* ---- sockets, TUN, the data Worker's loop (batch.c, tun.c) ------------------------------------------------- */

struct i405_addr {
  uint8_t family; /* 0 none, 4, 6; I405_ADDR_ID: not an address but a connection id, the first eight bytes of ip */
  uint8_t pad;
  uint16_t port;  /* host order */
  uint32_t scope; /* IPv6 scope id */
  uint8_t ip[16]; /* network order; IPv4 in the first four */
};
_Static_assert(sizeof(struct i405_addr) == 24, "ffi/layout.ts reads this struct by offset");

#define I405_ADDR_ID 8

/* A non-blocking UDP socket bound to the address at `off` (port 0: any; the real one is written back). Sets
 * DF/PMTU = PROBE, RECVERR off, large buffers (FORCE where allowed), IPV6_V6ONLY, PKTINFO on, fixed TTL 64, TOS 0,
 * flow label 0, UDP_GRO where the kernel has it. Unconnected. flags: bit 0 has all it
 * sends say ECT(0), else Not-ECT. Returns the fd or -errno. */
I405_EXPORT int32_t i405_udp_open(uint32_t addr, uint32_t flags);
/* Datagrams that the kernel has dropped since the socket was made, since its buffer was full. */
I405_EXPORT int32_t i405_udp_drops(int32_t fd);
/* Sends at once (handshake replies of a server). src may be 0 (kernel chooses). A pending ICMP error is cleared
 * and the send repeated. Returns len or -errno. */
I405_EXPORT int32_t i405_udp_send(int32_t fd, uint32_t off, uint32_t len, uint32_t to, uint32_t src);
/* The local address the kernel would use towards `to` -> written at `out`. And the MTU of its device,
 * whatever ICMP has said of the path, as result. */
I405_EXPORT int32_t i405_route_probe(uint32_t to, uint32_t out);

/* Opens or attaches to the TUN device whose name (NUL-terminated, 16 bytes) is at `name`: IFF_TUN | IFF_NO_PI |
 * IFF_VNET_HDR, header length 10, non-blocking, no offloads enabled. flags bit 0: persist. The real name is
 * written back. Returns the fd or -errno. */
I405_EXPORT int32_t i405_tun_open(uint32_t name, uint32_t flags);
/* TUNSETPERSIST on/off and TUNSETOWNER (owner < 0: leave). */
I405_EXPORT int32_t i405_tun_persist(int32_t fd, int32_t on, int32_t owner);

/* What the stack hands over in one piece, and takes so: many TCP segments, many UDP datagrams. */
enum { I405_TSO4 = 1, I405_TSO6 = 2, I405_USO4 = 4, I405_USO6 = 8 };
/* Asks for all of these, then for fewer, until the kernel agrees. Returns what it agreed to, or -errno. Whoever reads the
 * device then needs i405_io.tun_whole. */
I405_EXPORT int32_t i405_tun_offload(int32_t fd);

struct i405_desc {
  uint32_t off, len;
};
_Static_assert(sizeof(struct i405_desc) == 8, "ffi/layout.ts reads this struct by offset");

/* Writes `count` packets described at `descs`. Those of one flow that follow each other are joined as far as `offloads`
 * (of i405_tun_offload; 0: never) allow; the order within a flow stays. Returns how many the kernel took. */
I405_EXPORT int32_t i405_tun_write_batch(int32_t fd, uint32_t descs, uint32_t count, uint32_t offloads);
/* The same into a block of `cap` bytes, for comparison with a reference: for each write its length (u32, native), the
 * virtio header of 10 bytes, the packet. Returns how many bytes are used; what does not fit is left out. */
I405_EXPORT int32_t i405_tun_coalesce(uint32_t descs, uint32_t count, uint32_t offloads, uint32_t out, uint32_t cap);
/* As reading the device does: the `len` bytes at `off` (virtio header, packet; they may be changed) are cut into at most
 * `max` packets, which are put I405_TUN_STRIDE bytes apart at `out`. Returns their count or -EBADMSG. */
I405_EXPORT int32_t i405_tun_split(uint32_t off, uint32_t len, uint32_t out, uint32_t descs, uint32_t max);
/* -EBUSY while a ring still sends on fd: free the ring, or move it and let a slot pass, first. */
I405_EXPORT int32_t i405_close(int32_t fd);
I405_EXPORT int32_t i405_event_open(void);       /* eventfd */
I405_EXPORT int32_t i405_event_signal(int32_t fd);

#define I405_RX_STRIDE 2048   /* bytes of a receive buffer: the largest datagram read; longer ones are truncated, flagged */
#define I405_TUN_STRIDE 2048  /* an inner packet; MTU <= 2000 */
#define I405_WHOLE_LEN 65600u /* the longest packet that the stack hands over in one piece */
#define I405_SPLIT_LEN (I405_WHOLE_LEN + 64)

/* What a stream has to tell, in bits 4..7 of i405_rx.flags. */
enum {
  I405_STREAM_RECORD = 0,    /* a whole TLS record, header included */
  I405_STREAM_CONNECTED = 1, /* and paused */
  I405_STREAM_ENDED = 2,     /* by the peer (len 0) or an error (len: errno); nothing more comes */
  I405_STREAM_ACCEPT = 3,    /* somebody waits at a listening socket */
  I405_STREAM_MALFORMED = 4, /* what came is no TLS record, or a longer one than I405_RX_STRIDE; nothing more comes */
};
#define I405_RX_STREAM 2u
#define I405_RX_BY_ID 4u
#define I405_RX_ECN_SHIFT 4 /* of a datagram: the two bits of its IP header (RFC 3168) */

/* Datagrams received in one piece (UDP_GRO) are told one by one. Buffers are so far apart that their beginnings do not
 * share cache sets. */
#define I405_RECEIVE_COUNT 32u
#define I405_RECEIVE_STRIDE (65536u + 2112u)
#define I405_RECEIVE_LEN (I405_RECEIVE_COUNT * I405_RECEIVE_STRIDE + 4096u)

struct i405_rx {         /* one received datagram, or one thing that a stream has to tell */
  uint32_t off;          /* of its bytes; valid until the next i405_io_poll */
  uint32_t len;
  int32_t peer;          /* from i405_peer_set: of the connection id if its first record has one, else of the address;
                            or -1; of a stream: its id */
  uint32_t flags;        /* bit 0 truncated; bit 1 of a stream; bit 2 peer by connection id; bits 4, 5 of a datagram its ECN; bits 8.. index of the UDP
                            fd it came in on (0 or 1) */
  struct i405_addr from;
  struct i405_addr to;   /* local address (PKTINFO); family 0 if not known */
  double time_ns;        /* when the batch was read */
};
_Static_assert(sizeof(struct i405_rx) == 72, "ffi/layout.ts reads this struct by offset");

struct i405_io {
  /* in */
  int32_t udp_fd[2];     /* -1: none */
  int32_t tun_fd;        /* -1: none */
  int32_t event_fd;      /* -1: none; drained when readable */
  uint32_t rx_max;       /* datagrams to take at most (<= rx_cap) */
  uint32_t tun_max;      /* TUN packets to take at most (<= tun_cap); 0: neither read nor wait for TUN */
  uint32_t rx_descs;     /* struct i405_rx[rx_cap] */
  uint32_t rx_cap;
  uint32_t tun_descs;    /* {u32 off, u32 len}[tun_cap] */
  uint32_t tun_cap;
  uint32_t tun_bufs;     /* tun_cap * I405_TUN_STRIDE; the virtio header is not part of off/len */
  int32_t epoll_fd;      /* of i405_streams_open; -1: no streams */
  double timeout_ns;     /* < 0: wait for ever; 0: do not wait */
  /* out */
  uint32_t rx_count;
  uint32_t tun_count;
  uint32_t event;        /* 1 if the eventfd was signalled */
  uint32_t rx_errors;    /* receive calls that failed other than EAGAIN (ICMP errors and the like), summed for ever */
  double now_ns;         /* after the wait */
  uint32_t tun_dropped;  /* TUN packets longer than I405_TUN_STRIDE, or that could not be cut, summed for ever */
  uint32_t tun_errors;   /* TUN reads that failed other than EAGAIN, summed for ever */
  /* in */
  uint32_t tun_whole;    /* I405_SPLIT_LEN bytes, the shim's own, for what is cut over several polls; 0: no offloads */
  uint32_t rx_whole;     /* I405_RECEIVE_LEN bytes, the shim's own: where datagrams are received; 0: no UDP socket */
};
_Static_assert(sizeof(struct i405_io) == 96, "ffi/layout.ts reads this struct by offset");

/* Reads what is there; if that is nothing, waits (ppoll, ns) and reads again. Returns rx_count + tun_count. */
I405_EXPORT int32_t i405_io_poll(uint32_t io);

/* Who a source address or a connection id belongs to: O(1) table of up to 131,072 entries, one per process. peer < 0
 * removes. Worker only. */
I405_EXPORT int32_t i405_peer_set(uint32_t addr, int32_t peer);

/* ---- TCP (tcp.c, stream.c) ----------------------------------------------------------------------------------- */

/* All sockets: non-blocking, TCP_NODELAY, no keep-alive, fixed TTL 64, TOS 0, flow label 0, CUBIC or Reno.
 * Listens on the address at `addr` (port 0: any; the real one is written back). Returns the fd or -errno. */
I405_EXPORT int32_t i405_tcp_listen(uint32_t addr);
/* The next one who waits: the fd, or -EAGAIN. Writes his address and the local one. */
I405_EXPORT int32_t i405_tcp_accept(int32_t fd, uint32_t from, uint32_t to);
/* Begins to connect. Returns the fd, to be added in mode CONNECTING. */
I405_EXPORT int32_t i405_tcp_connect(uint32_t to);
/* Sends at once (handshakes). Returns how many bytes the kernel took, or -errno. Never on a socket that a ring has. */
I405_EXPORT int32_t i405_tcp_send(int32_t fd, uint32_t off, uint32_t len);

struct i405_tcp_state {
  uint32_t mss;         /* payload of a segment with the options that every segment has */
  uint32_t timestamps;  /* 1: each segment carries them */
  uint32_t sack;        /* 1: segments carry up to I405_SACK_MAX bytes more of options after a loss */
  uint32_t rtt_us;
  uint32_t window;      /* congestion window, segments */
  uint32_t retransmits; /* segments, so far */
  uint32_t unacked;     /* bytes, unsent ones included */
  uint32_t unsent;
};
_Static_assert(sizeof(struct i405_tcp_state) == 32, "ffi/layout.ts reads this struct by offset");
/* What the kernel knows of a connection -> at `out`. */
I405_EXPORT int32_t i405_tcp_state(int32_t fd, uint32_t out);

/* Opens the one set of streams of the process: the fd for i405_io.epoll_fd. The functions on streams are for one
 * thread, the one that polls. */
I405_EXPORT int32_t i405_streams_open(void);
enum {
  I405_STREAM_PAUSED = 0,     /* nothing is read */
  I405_STREAM_STEP = 1,       /* one record is handed out, then paused */
  I405_STREAM_FLOW = 2,       /* always drained */
  I405_STREAM_CONNECTING = 3, /* of i405_stream_add only, like the next */
  I405_STREAM_LISTENING = 4,
};
/* Has i405_io_poll tell what comes on fd under `id` (>= 0). -ENOSPC: 4096 are there already. */
I405_EXPORT int32_t i405_stream_add(int32_t fd, int32_t id, uint32_t mode);
I405_EXPORT int32_t i405_stream_mode(int32_t fd, uint32_t mode);
/* The fd stays the caller's to close. */
I405_EXPORT int32_t i405_stream_remove(int32_t fd);

/* ---- sockets that Deno holds (socket.c) ------------------------------------------------------------------------ */

/* Resets this process's TCP connection between the addresses (without scope) at `local` and `remote`; what is unsent is
 * dropped. Its fd stays its owner's to close. Returns 0, -ENOENT when there is none, or -errno. Any thread. */
I405_EXPORT int32_t i405_socket_abort(uint32_t local, uint32_t remote);

/* ---- the pacer (pacer.c) ----------------------------------------------------------------------------------- */

enum { I405_POLL_SLEEPY = 0, I405_POLL_HYBRID = 1, I405_POLL_SPINNY = 2 };
enum { I405_PACER_NO_FIFO = 1, I405_PACER_NO_LOCK = 2, I405_PACER_THROTTLED = 4, I405_PACER_SHARED_CPU = 8 };

struct i405_pacer_config {
  uint32_t poll_mode;
  uint32_t fifo;          /* 1: SCHED_FIFO priority 50 */
  int32_t cpu;            /* >= 0: pin there; -1: choose (last allowed CPU when there are two); -2: do not pin */
  uint32_t calibrate_ms;  /* time given to wake-up calibration before start returns; 0: use lead_ns */
  double lead_ns;
  double lead_max_ns;     /* cap, 30 % of the shortest interval */
  double reserved;
};
_Static_assert(sizeof(struct i405_pacer_config) == 40, "ffi/layout.ts reads this struct by offset");

/* Written by the pacer, read by anyone. */
struct i405_pacer_state {
  uint32_t running;
  uint32_t flags;         /* I405_PACER_... : what was asked for and not had */
  int32_t cpu;
  int32_t tid;
  double lead_ns;
  double wake_p50_ns, wake_p99_ns, wake_p999_ns; /* from calibration */
  double stall_max_ns;    /* longest time the spinning pacer was kept from running */
  double stalls;          /* count > 1 ms */
};
_Static_assert(sizeof(struct i405_pacer_state) == 64, "ffi/layout.ts reads this struct by offset");

/* Starts the one pacer thread of the process and waits for its calibration; returns its state's offset or -errno
 * (-EALREADY). */
I405_EXPORT int32_t i405_pacer_start(uint32_t config);
/* Stops it (bounded wait); rings stay and may be freed afterwards. */
I405_EXPORT int32_t i405_pacer_stop(void);

/* Words of a plaintext buffer. Worker: FREE -> (writes) -> READY; READY -> FILLING (CAS, to append) -> READY.
 * Pacer: READY -> TAKEN (CAS, at freeze) -> FREE (after its copy). Buffers are used in order, a queue:
 * the pacer always looks at buffer (taken % buf_count) only. */
enum { I405_FREE = 0, I405_FILLING = 1, I405_READY = 2, I405_TAKEN = 3 };
enum { I405_KIND_PLAINTEXT = 0, I405_KIND_RAW = 1, I405_KIND_COUNTED = 2 };
struct i405_buf {        /* at bufs + index * buf_stride; 64 bytes, then the bytes */
  int32_t word;
  uint32_t kind;         /* PLAINTEXT: plaintext_len bytes (content type byte included); RAW: datagram_len bytes;
                            COUNTED: as PLAINTEXT, and the pacer writes count and time into its copy (count_off) */
  double count;          /* pacer: the count that a COUNTED one got; good from when it is FREE until the next FILLING */
  uint32_t pad[12];
};
_Static_assert(sizeof(struct i405_buf) == 64, "ffi/layout.ts reads this struct by offset");

struct i405_ring_config {
  int32_t fd;              /* UDP socket (or one end of a datagram socket pair); -1 of a stream ring */
  uint32_t datagram_len;   /* header + plaintext + 16 */
  uint32_t hdr_len;
  uint32_t seq_off;
  uint32_t seq_len;        /* 2; 0: a stream ring */
  uint32_t burst;          /* records per slot, sent with one UDP_SEGMENT call when > 1 */
  uint32_t buf_count;      /* plaintext buffers: a power of two */
  uint32_t times_count;    /* slot times: a power of two */
  uint32_t trace_count;    /* entries of the slot trace: a power of two, or 0 */
  uint32_t count_off;      /* 0: none. Where a COUNTED plaintext, and chaff, gets its count: u64, big-endian */
  double interval_ns;      /* mean; for the repeat rule and lead cap */
  double wall_base_ns;     /* added to a slot's planned time for time_off */
  uint32_t time_off;       /* 0: none. As count_off: the planned time of the slot as wall-clock ns */
  uint32_t stream;         /* 1: TLS records of implicit numbers over TCP; fd -1, no addresses, burst 1, no count_off */
  struct i405_addr to;     /* family 0: fd is connected / socket pair: plain send */
  struct i405_addr from;   /* family 0: kernel chooses */
};
_Static_assert(sizeof(struct i405_ring_config) == 112, "ffi/layout.ts reads this struct by offset");

#define I405_HIST_BUCKETS 256
/* Shared by Worker and pacer; every field written by one side only. Counters are doubles (exact to 2^53). */
struct i405_ring {
  uint32_t bufs, buf_stride, buf_count, plaintext_len; /* set at creation */
  uint32_t times, times_count;                         /* double[times_count] */
  uint32_t trace, trace_count;                         /* struct i405_trace[trace_count] */
  uint32_t chaff;          /* plaintext_len bytes: written by TypeScript before start, constant afterwards */
  uint32_t taken;          /* pacer: buffers taken so far, modulo 2^32 */
  uint32_t running;        /* pacer: 1 while merged */
  uint32_t switches;       /* pacer: key switches done so far */
  double slots;            /* pacer: slots whose time has come (sent + skipped) */
  double records;          /* records handed to the kernel */
  double data_records;     /* of these, with a buffer */
  double skipped;          /* slots not sent: the next slot's time had come */
  double late;             /* sent later than 100 us after their time */
  double send_errors;      /* records the kernel refused (EAGAIN, ENOBUFS, ...): lost */
  double dry;              /* slots that ran by the repeat rule because no time was written */
  double keyless;          /* slots not sent for want of keys (a stream ring's: of a connection); else a correct program keeps this 0 */
  double slot_next;        /* number of the next slot to be frozen */
  double slot_next_ns;     /* its time */
  double seq_next;         /* sequence number that the next record gets, in the current key set */
  double dev_sum_ns, dev_sum2, dev_max_ns, dev_min_ns; /* of actual - planned, over sent slots */
  double times_end;        /* slots with written times: i405_ring_times adds to it */
  double socket_full;      /* slots of a stream ring not sent: the kernel had not sent all before, or had no room */
  double short_writes;     /* records that the kernel did not take whole: their rest went before anything else */
  double aside;            /* slots that went aside */
  uint32_t update;         /* stream ring: plaintext_len bytes, the KeyUpdate, written by TypeScript before the start */
  uint32_t broken;         /* stream ring: links that a send has found broken */
  uint32_t hist[I405_HIST_BUCKETS]; /* of |deviation|, log-linear: i405_hist_bucket */
};
_Static_assert(sizeof(struct i405_ring) == 48 + 20 * 8 + 4 * I405_HIST_BUCKETS, "ffi/layout.ts reads this struct by offset");

/* Bucket b < 8 counts deviations of b ns; from there 8 buckets an octave: bucket 8 + 8 * (e - 3) + m counts
 * 2^(e-3) * (8 + m) ns and up. The last, 255, also counts everything beyond it (from 16 s). */
static inline uint32_t i405_hist_bucket(int64_t deviation_ns) {
  uint64_t ns = deviation_ns < 0 ? 0 - (uint64_t)deviation_ns : (uint64_t)deviation_ns;
  if (ns < 8) return (uint32_t)ns;
  uint32_t octave = 63 - (uint32_t)__builtin_clzll(ns);
  uint32_t bucket = 8 * (octave - 2) + (uint32_t)(ns >> (octave - 3)) - 8;
  return bucket < I405_HIST_BUCKETS ? bucket : I405_HIST_BUCKETS - 1;
}

struct i405_trace {       /* one per slot, index = slot % trace_count */
  double slot;
  double planned_ns;
  double actual_ns;       /* call time of the send; 0 when skipped */
  uint32_t data_records;  /* how many of the burst carried a buffer */
  uint32_t flags;         /* 1 skipped, 2 late, 4 dry, 8 send error, 16 (and 1) socket full */
};
_Static_assert(sizeof(struct i405_trace) == 32, "ffi/layout.ts reads this struct by offset");

/* The invariants: slots * burst = records + send_errors + (skipped + keyless + socket_full) * burst.
 * Repeat rule: a slot without a written time comes P * interval_ns after slot - P, P = the slots of one second (at
 * most times_count, and no more than there have been).
 * Makes a ring with all that it needs; returns its offset or -errno. */
I405_EXPORT int32_t i405_ring_new(uint32_t config);
/* Publishes `count` more slot times, which TypeScript has written at index (times_end + i) % times_count.
 * -ENOSPC when they would overwrite times still to come. */
I405_EXPORT int32_t i405_ring_times(uint32_t ring, uint32_t count);
/* From slot >= first_slot on: seal with `key`, header template at `hdr` (hdr_len bytes, number bytes zero, copied
 * now), numbers from first_seq: those before it have been used by another key object of the same secret. The first
 * call before start sets the initial set. One pending set at a time: -EBUSY. first_count >= 0: the count of count_off
 * starts there anew; else it goes on.
 * A key serves one ring once (numbers start anew each time): -EALREADY for one that has sealed anything. From then
 * on it is the pacer's: opening with it gives -EBUSY. It may be freed when `switches` shows that it was replaced. */
I405_EXPORT int32_t i405_ring_keys(uint32_t ring, int32_t key, uint32_t hdr, double first_slot, double first_seq,
                                   double first_count);
/* Where records go from the next slot to be frozen on. Never waits. */
I405_EXPORT int32_t i405_ring_dest(uint32_t ring, int32_t fd, uint32_t to, uint32_t from);
/* Stream rings: instead of keys and dest. From the next slot on: connection `fd` under `key`, header template at `hdr`
 * (copied), numbers from 0. fd -1 (key 0, hdr 0): no connection; slots are `keyless` until the next one. A link that the
 * pacer has not reached is replaced: then 1 is returned, and its key may be freed at once; else 0. `switches` counts
 * each link and each update that the pacer has reached: keys before may be freed then. */
I405_EXPORT int32_t i405_ring_link(uint32_t ring, int32_t fd, int32_t key, uint32_t hdr);
/* The record with this number (or the next, if it is gone by) carries the `update` plaintext, no buffer, and is the last
 * under its key: then `key`, numbers from 0. RFC 8446 section 4.6.3. -EBUSY while a link or an update waits. */
I405_EXPORT int32_t i405_ring_update(uint32_t ring, int32_t key, double number);
/* From slot >= first_slot on: records go to `to` from the socket fd, with the header at `hdr` (as for i405_ring_keys),
 * under the same key with the numbers that follow. Pending like a key: -EBUSY, and `switches` counts it. Of a started
 * ring of datagrams. */
I405_EXPORT int32_t i405_ring_move(uint32_t ring, int32_t fd, uint32_t to, uint32_t hdr, double first_slot);
/* From the next slot to be frozen on, a slot goes aside if burst * datagram_len bytes of credit are there, which it uses
 * up: to `to` from fd and `from`, its first record carrying the plaintext at `plain` (plaintext_len bytes, copied now),
 * the others chaff; it takes no buffer. All other slots are as ever: there is never one more. The credit of a new aside
 * is 0; `to` 0 ends it. Never waits. Of a ring of datagrams. */
I405_EXPORT int32_t i405_ring_aside(uint32_t ring, int32_t fd, uint32_t to, uint32_t from, uint32_t plain);
/* Gives the newest aside so many bytes more. */
I405_EXPORT int32_t i405_ring_credit(uint32_t ring, uint32_t bytes);
/* Hands the ring to the pacer: -EINVAL without a slot time, -ESRCH without a pacer. Waits at most 10 ms or so. */
I405_EXPORT int32_t i405_ring_start(uint32_t ring);
/* Takes it out of the pacer; returns when the pacer no longer touches it (bounded wait), then frees it. */
I405_EXPORT int32_t i405_ring_free(uint32_t ring);

/* ---- transmit time stamps (stamps.c) ------------------------------------------------------------------------- */

/* Of the kernel's stamp of a packet minus its slot's planned time, all rings of UDP together. Written by who polls. */
struct i405_stamps {
  double count, sum_ns, sum2, max_ns, min_ns;
  double reserved;
  uint32_t hist[I405_HIST_BUCKETS]; /* of |deviation|: i405_hist_bucket */
};
_Static_assert(sizeof(struct i405_stamps) == 48 + 4 * I405_HIST_BUCKETS, "ffi/layout.ts reads this struct by offset");
/* From now on each UDP socket that is opened has its transmissions stamped: every slot down to 1 ms, of shorter ones
 * every 2^n-th, so that there are at most 1,000 in a second. Returns the offset of the counts or -errno. i405_io_poll
 * takes the stamps in, and then looks at UDP sockets every 250 us instead of waiting for them. */
I405_EXPORT int32_t i405_stamps_open(void);

/* ---- host (host.c) ----------------------------------------------------------------------------------------- */

/* Reads a whole small file (/proc, /sys, ...) -> length or -errno. path is NUL-terminated. */
I405_EXPORT int32_t i405_read_file(uint32_t path, uint32_t out, uint32_t cap);
/* Writes `len` bytes at `off` to an existing file (/proc, /sys) in one call -> 0 or -errno. */
I405_EXPORT int32_t i405_write_file(uint32_t path, uint32_t off, uint32_t len);
/* Where a symbolic link points -> length or -errno. */
I405_EXPORT int32_t i405_read_link(uint32_t path, uint32_t out, uint32_t cap);
/* What i405_read_secret tells of the file that it has opened. */
struct i405_file_info {
  uint32_t regular; /* 1: a regular file; anything else is not read */
  uint32_t mode;    /* permission bits */
  uint32_t uid;
};
_Static_assert(sizeof(struct i405_file_info) == 12, "ffi/layout.ts reads this struct by offset");
/* Reads up to `cap` bytes of the file at `path` (NUL-terminated) into the arena at `out` -> count or -errno; -ELOOP for a
 * symbolic link. A FIFO does not hold it up. `info` is written whenever the file could be opened. */
I405_EXPORT int32_t i405_read_secret(uint32_t path, uint32_t out, uint32_t cap, uint32_t info);
I405_EXPORT int32_t i405_set_dumpable(int32_t on);
/* nice value, timer slack 1 ns, and affinity of the calling thread; cpu_not >= 0: every allowed CPU but that. */
I405_EXPORT int32_t i405_thread_setup(int32_t nice, int32_t cpu_not);
/* Keeps all CPUs out of idle states that take time to leave, as long as the returned fd is open: how long a wake-up
 * takes then does not depend on how busy the machine is. Returns the fd or -errno (only root may). */
I405_EXPORT int32_t i405_hold_latency(void);
I405_EXPORT int32_t i405_cpu_count(void);
/* Packet socket on interface `name` (NUL-terminated) for an observer: fd or -errno; kernel time stamps on. incoming 1:
 * what this machine sends there is not seen, and not held up by being copied, where the kernel can leave it out. */
I405_EXPORT int32_t i405_observe_open(uint32_t name, uint32_t incoming);
/* Reads up to `max` frames: struct i405_seen[max] at `out` -> count. Waits up to timeout_ms for the first. */
struct i405_seen {
  double time_ns;          /* kernel receive time stamp, in ns since the base (realtime, converted) */
  uint32_t len;            /* frame length on the wire without link header */
  uint32_t direction;      /* sll_pkttype */
  uint8_t head[64];        /* the first bytes from the IP header on */
};
_Static_assert(sizeof(struct i405_seen) == 80, "ffi/layout.ts reads this struct by offset");
I405_EXPORT int32_t i405_observe_read(int32_t fd, uint32_t out, uint32_t max, uint32_t timeout_ms);

/* Sizes and field offsets of the structs above in the order of src/ports/layout.ts, one per index; -1 past the end. */
I405_EXPORT int32_t i405_layout(uint32_t index);
/* Blocks that the secret heap has handed out so far: the data path must add none. */
I405_EXPORT double i405_secret_blocks(void);

#ifdef I405_FAULTS /* test builds only: what the comparison of traces has to catch */
enum {
  I405_FAULT_NONE = 0,
  I405_FAULT_DELAY = 1,   /* a slot with data leaves 50 us late */
  I405_FAULT_ADD = 2,     /* a slot with data sends its first record twice */
  I405_FAULT_SHORTEN = 3, /* records of a slot with data are one byte shorter */
  I405_FAULT_SKIP = 4,    /* a slot with data is not sent */
  I405_FAULT_EPOCH = 5,   /* a record with data has another epoch in its header */
  I405_FAULT_ROOM = 6,    /* no fault that shows: a stream ring does not ask whether there is room for a record */
  I405_FAULT_LATE_2US = 7,        /* a slot with data leaves 2 us late */
  I405_FAULT_LATE_300NS = 8,      /* a slot with data leaves 0.3 us late */
  I405_FAULT_SKIP_1000 = 9,       /* one slot with data in 1,000 is not sent */
  I405_FAULT_SHORTEN_10000 = 10,  /* one slot with data in 10,000 is one byte shorter */
  I405_FAULT_SEAL_LATE = 11,      /* a slot with data is sealed after its time */
  I405_FAULT_RATE_PPM = 12,       /* the clock of slots with data runs slow by 1 ppm */
  I405_FAULT_RATE_PERMILLE = 13,  /* the same by 0.1 % */
  I405_FAULT_ECN = 14,            /* a slot with data has ECT(0) in its header */
  I405_FAULT_RATE_TENTH_PPM = 15, /* the clock of slots with data runs slow by 0.1 ppm */
  I405_FAULT_SPLIT = 16,          /* over TCP a record with data is sent in two parts */
};
/* Also by the number in the environment variable I405_FAULT when the pacer starts. */
I405_EXPORT int32_t i405_fault(int32_t kind);
#endif

#endif
