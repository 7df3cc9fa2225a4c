/* A ring as the pacer has it. ring.c makes, feeds and frees rings (normal threads); slot.c freezes and sends a slot,
 * pacer.c runs the thread (pacer). What both sides touch after the start is atomic; no side waits for the other. */
#ifndef I405_RING_H
#define I405_RING_H
#include "internal.h"

#include <stdatomic.h>

#define RING_MAX 4096
#define HDR_MAX 32u
#define BURST_MAX 64u /* UDP_SEGMENT's bound */
enum { TRACE_SKIPPED = 1, TRACE_LATE = 2, TRACE_DRY = 4, TRACE_SEND_ERROR = 8, TRACE_SOCKET_FULL = 16 };

/* Where records go, ready for sendmsg. */
struct dest {
  int32_t fd;
  socklen_t to_len; /* 0: plain send */
  struct sockaddr_storage to;
  size_t control_len; /* of PKTINFO */
  _Alignas(struct cmsghdr) uint8_t control[SHIM_CONTROL_LEN];
};

/* A letter box for one value: a normal thread writes (EMPTY or FULL -> WRITING -> FULL), the pacer takes
 * (FULL -> TAKING -> EMPTY). The pacer never waits: what is being written is for the next slot. */
enum { BOX_EMPTY, BOX_WRITING, BOX_FULL, BOX_TAKING };

/* What changes at a slot: key and header, or (key NULL) header and destination alone. */
struct keyset {
  struct shim_key *key;
  double first_slot, first_seq, first_count;
  uint8_t hdr[HDR_MAX];
  struct dest dest; /* fd -1: none */
};

/* Where slots go for which there is credit. */
struct aside {
  struct dest dest; /* fd -1: none */
  uint16_t generation;
};
/* Of `credit`: which aside it is for, and bytes. */
#define CREDIT_BITS 48
#define CREDIT_MASK ((UINT64_C(1) << CREDIT_BITS) - 1)

/* A connection of a stream ring, or (is_update) another key upon the one that is there. */
struct link {
  struct shim_key *key;
  int32_t fd; /* -1: none */
  bool is_update;
  double number; /* of the record that carries the KeyUpdate, or the first after it */
  uint8_t hdr[HDR_MAX];
};

struct ring {
  uint32_t off; /* of `shared` */
  struct i405_ring *shared;
  struct i405_ring_config config;
  /* of the shared struct, as made: nobody can move these under the pacer */
  uint8_t *bufs;
  uint32_t buf_stride, plaintext_len;
  const double *times;
  struct i405_trace *trace;
  const uint8_t *chaff;
  const uint8_t *update; /* of a stream ring */
  /* own memory */
  uint8_t *plain;   /* plaintext_len */
  uint8_t *sealed;  /* burst * datagram_len */
  double *history;  /* planned times of the last history_count slots */
  uint32_t history_count;
  uint8_t *aside_plain; /* two of plaintext_len: the pacer's, the one in the letter box */
  /* letter boxes */
  atomic_int keys_box, dest_box, link_box, aside_box;
  struct keyset keys_next;
  struct dest dest_next;
  struct link link_next;
  struct aside aside_next;
  _Atomic uint64_t credit; /* given so far to the newest aside; written under ring.c's lock */
  atomic_int aside_fd;     /* what `aside` holds, for i405_close */
  atomic_int fd_now; /* what `dest` or `link` holds, for i405_close */
  /* pacer's */
  struct keyset keys;
  struct dest dest;
  struct aside aside;
  uint64_t credit_used; /* of `aside` */
  struct link link;
  bool link_broken;  /* a send has failed for good */
  uint32_t rest_len; /* of the record in `sealed`: what the kernel has not taken */
  uint64_t seq;
  uint64_t count; /* of count_off: what the next record gets */
  uint64_t slot; /* next to be frozen */
  double time;   /* its time */
  bool time_dry;
  uint32_t taken;
  uint64_t stamp_mask; /* slots whose number has none of these bits get a transmit stamp, if there are any */
  bool segment;     /* UDP_SEGMENT still believed to work */
  double freeze_ns; /* what a freeze costs, smoothed */
  /* of the slot that is frozen */
  uint32_t data_records;
  uint32_t flags;
  bool keyless;
  bool socket_full;
  bool away;              /* it goes aside */
  const uint8_t *instead; /* what a record carries that takes no buffer */
  /* normal threads' */
  bool started;
};

/* slot.c; pacer thread only, but for ring_first */
void ring_first(struct ring *ring);                /* sets slot 0's time; before the start */
void ring_number(struct ring *ring);               /* numbers and count as the key set in `keys` wants them */
bool ring_skip_due(struct ring *ring, double now); /* the next slot's time has come */
void ring_skip(struct ring *ring);
void ring_freeze(struct ring *ring);
void ring_send(struct ring *ring, int64_t now); /* `now`: what the clock says */
void ring_advance(struct ring *ring);

/* slot.c, for link.c: takes a plaintext or chaff and seals it; seals ring->plain */
void ring_freeze_record(struct ring *ring, uint8_t *record, struct shim_key *key, const uint8_t *hdr);
void ring_seal_record(struct ring *ring, uint8_t *record, struct shim_key *key, const uint8_t *hdr);

/* link.c; pacer thread only. Each stands for slot.c's work of the same name in a stream ring. */
void link_freeze(struct ring *ring);
uint32_t link_send(struct ring *ring); /* 1 if the slot's record is the kernel's, or will be */

/* fault.c: nothing, 0 and false but in test builds */
void fault_from_environment(void);
int32_t fault_delay(const struct ring *ring); /* ns */
bool fault_room(void);
bool fault_skip(const struct ring *ring);
bool fault_add(const struct ring *ring);
bool fault_shorten(const struct ring *ring);
bool fault_epoch(const struct ring *ring);
bool fault_reseal(const struct ring *ring);
bool fault_split(const struct ring *ring);
void fault_ecn(const struct ring *ring);

/* pacer.c; normal threads; one at a time, ring.c's lock held. Wait a bounded time. */
int pacer_add(struct ring *ring);    /* -ESRCH: no pacer; -ETIMEDOUT */
int pacer_remove(struct ring *ring); /* 0 also when there is no pacer */

/* filler.c; normal threads, ring.c's lock held */
int filler_start(int32_t cpu); /* -EINVAL: it runs, or there is no such CPU; -EAGAIN */
void filler_stop(void);

/* ring.c */
void ring_lock(void);
void ring_unlock(void);
struct ring *ring_find(uint32_t off); /* whose shared struct lies there, or NULL; lock held */

/* Takes a box for writing, and tells what state it was in; the pacer holds it only for the time of a small copy. */
static inline int box_claim(atomic_int *box) {
  for (;;) {
    int state = atomic_load(box);
    if (state == BOX_TAKING) continue;
    if (atomic_compare_exchange_weak(box, &state, BOX_WRITING)) return state;
  }
}

/* Plain stores that another thread may read at any moment. */
static inline void put_f64(double *at, double value) { __atomic_store(at, &value, __ATOMIC_RELAXED); }
static inline void put_u32(uint32_t *at, uint32_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
static inline double get_f64(const double *at) {
  double value;
  __atomic_load(at, &value, __ATOMIC_ACQUIRE);
  return value;
}

#endif
