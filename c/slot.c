/* One slot of one ring, on the pacer's thread: 1 letter boxes (keys, destination) · 2 freeze: take plaintext or chaff,
 * copy by the same instructions, release, seal · 3 (pacer.c waits for the time) · 4 send · 5 counters, next time.
 * From the end of 2 to the send only the ring's own memory is touched. */
#include "ring.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define LATE_NS 100000.0

/* ---- times ---- */

static double time_of(const struct ring *ring, uint64_t slot, bool *dry) {
  *dry = (double)slot >= get_f64(&ring->shared->times_end);
  if (!*dry) {
    double time;
    __atomic_load(&ring->times[slot & (ring->config.times_count - 1)], &time, __ATOMIC_RELAXED);
    return time;
  }
  /* The repeat rule of i405.h. Slot 0 is never dry: a ring does not start without its time. */
  uint64_t back = slot < ring->history_count ? slot : ring->history_count;
  return ring->history[(slot - back) % ring->history_count] + (double)back * ring->config.interval_ns;
}

static void set_time(struct ring *ring, double time, bool dry) {
  ring->time = time;
  ring->time_dry = dry;
  ring->history[ring->slot % ring->history_count] = time;
  put_f64(&ring->shared->slot_next_ns, time);
  double slot = (double)ring->slot;
  __atomic_store(&ring->shared->slot_next, &slot, __ATOMIC_RELEASE);
}

void ring_first(struct ring *ring) {
  bool dry;
  double time = time_of(ring, 0, &dry);
  set_time(ring, time, dry);
}

static double next_time(const struct ring *ring, bool *dry) {
  double time = time_of(ring, ring->slot + 1, dry);
  return time > ring->time ? time : ring->time + ring->config.interval_ns;
}

void ring_advance(struct ring *ring) {
  bool dry;
  double time = next_time(ring, &dry);
  ring->slot++;
  set_time(ring, time, dry);
}

bool ring_skip_due(struct ring *ring, double now) {
  if (now <= ring->time) return false;
  bool dry;
  return now >= next_time(ring, &dry);
}

/* ---- counters ---- */

static void add(double *counter, double n) { put_f64(counter, *counter + n); }

static void trace_slot(struct ring *ring, double actual, uint32_t flags) {
  if (ring->config.trace_count == 0) return;
  struct i405_trace *entry = &ring->trace[ring->slot & (ring->config.trace_count - 1)];
  put_f64(&entry->planned_ns, ring->time);
  put_f64(&entry->actual_ns, actual);
  put_u32(&entry->data_records, ring->data_records);
  put_u32(&entry->flags, flags);
  double slot = (double)ring->slot;
  __atomic_store(&entry->slot, &slot, __ATOMIC_RELEASE); /* last: who reads the number finds the rest */
}

static void count_slot(struct ring *ring) {
  if (ring->time_dry) add(&ring->shared->dry, 1);
  add(&ring->shared->slots, 1);
}

void ring_skip(struct ring *ring) {
  ring->data_records = 0;
  add(&ring->shared->skipped, 1);
  trace_slot(ring, 0, TRACE_SKIPPED | (ring->time_dry ? TRACE_DRY : 0));
  count_slot(ring);
}

static void count_deviation(struct i405_ring *shared, double deviation) {
  bool first = shared->records + shared->send_errors == 0;
  uint32_t *bucket = &shared->hist[i405_hist_bucket((int64_t)deviation)];
  __atomic_store_n(bucket, *bucket + 1, __ATOMIC_RELAXED);
  add(&shared->dev_sum_ns, deviation);
  add(&shared->dev_sum2, deviation * deviation);
  if (first || deviation > shared->dev_max_ns) put_f64(&shared->dev_max_ns, deviation);
  if (first || deviation < shared->dev_min_ns) put_f64(&shared->dev_min_ns, deviation);
  if (deviation > LATE_NS) add(&shared->late, 1);
}

/* ---- freeze ---- */

void ring_number(struct ring *ring) {
  ring->seq = (uint64_t)ring->keys.first_seq;
  if (ring->keys.first_count >= 0) ring->count = (uint64_t)ring->keys.first_count;
  put_f64(&ring->shared->seq_next, ring->keys.first_seq);
}

static void adopt_keys(struct ring *ring) {
  if (atomic_load_explicit(&ring->keys_box, memory_order_acquire) != BOX_FULL) return;
  if ((double)ring->slot < ring->keys_next.first_slot) return;
  if (ring->keys_next.key != NULL) {
    shim_key_release(ring->keys.key);
    ring->keys = ring->keys_next;
    ring_number(ring);
  } else {
    memcpy(ring->keys.hdr, ring->keys_next.hdr, HDR_MAX);
  }
  if (ring->keys_next.dest.fd >= 0) {
    ring->dest = ring->keys_next.dest;
    atomic_store(&ring->fd_now, ring->dest.fd);
  }
  atomic_store_explicit(&ring->keys_box, BOX_EMPTY, memory_order_release);
  put_u32(&ring->shared->switches, ring->shared->switches + 1);
}

static void adopt_dest(struct ring *ring) {
  int full = BOX_FULL;
  if (!atomic_compare_exchange_strong(&ring->dest_box, &full, BOX_TAKING)) return;
  ring->dest = ring->dest_next;
  atomic_store(&ring->fd_now, ring->dest.fd);
  atomic_store_explicit(&ring->dest_box, BOX_EMPTY, memory_order_release);
}

static void adopt_aside(struct ring *ring) {
  int full = BOX_FULL;
  if (!atomic_compare_exchange_strong(&ring->aside_box, &full, BOX_TAKING)) return;
  ring->aside = ring->aside_next;
  ring->credit_used = 0;
  memcpy(ring->aside_plain, ring->aside_plain + ring->plaintext_len, ring->plaintext_len);
  atomic_store(&ring->aside_fd, ring->aside.dest.fd);
  atomic_store_explicit(&ring->aside_box, BOX_EMPTY, memory_order_release);
}

/* Whether this slot goes aside: what it costs has been given for this aside, and is used up by it. */
static bool take_credit(struct ring *ring) {
  uint64_t cost = (uint64_t)ring->config.burst * ring->config.datagram_len;
  uint64_t credit = atomic_load(&ring->credit);
  bool enough = ring->aside.dest.fd >= 0 && ring->keys.key != NULL && credit >> CREDIT_BITS == ring->aside.generation &&
    (credit & CREDIT_MASK) >= ring->credit_used + cost;
  if (enough) ring->credit_used += cost;
  return enough;
}

static struct i405_buf *buffer_of(struct ring *ring, uint32_t number) {
  return (struct i405_buf *)(ring->bufs + (uint64_t)(number & (ring->config.buf_count - 1)) * ring->buf_stride);
}

/* out = take ? data : chaff, both read to their ends whatever `take` is. */
static void copy_selected(uint8_t *restrict out, const uint8_t *restrict data, const uint8_t *restrict chaff,
                          uint32_t len, bool take) {
  const uint8_t mask = (uint8_t)(0 - (uint32_t)take);
  for (uint32_t i = 0; i < len; i++) out[i] = (uint8_t)((data[i] & mask) | (chaff[i] & (uint8_t)~mask));
}

/* Without keys a slot can only carry finished datagrams, and only if there is one for each record. */
static bool all_raw(struct ring *ring) {
  for (uint32_t i = 0; i < ring->config.burst; i++) {
    struct i405_buf *buf = buffer_of(ring, ring->taken + i);
    if (__atomic_load_n(&buf->word, __ATOMIC_ACQUIRE) != I405_READY || buf->kind != I405_KIND_RAW) return false;
  }
  return ring->config.burst <= ring->config.buf_count;
}

void ring_seal_record(struct ring *ring, uint8_t *record, struct shim_key *key, const uint8_t *hdr) {
  uint32_t hdr_len = ring->config.hdr_len, seq_len = ring->config.seq_len;
  memcpy(record, hdr, hdr_len);
  for (uint32_t i = 0; i < seq_len; i++) {
    record[ring->config.seq_off + i] = (uint8_t)(ring->seq >> (8 * (seq_len - 1 - i)));
  }
  struct shim_seal job = {
    .record = record,
    .hdr_len = hdr_len,
    .seq_off = ring->config.seq_off,
    .seq_len = seq_len,
    .plain = ring->plain,
    .plain_len = ring->plaintext_len,
    .seq = ring->seq,
  };
  /* The number is used up whatever comes of it: none is ever used twice. */
  ring->seq++;
  if (shim_seal(key, &job) != 0) ring->flags |= TRACE_SEND_ERROR;
}

static void put_u64(uint8_t *at, uint64_t value) {
  for (int i = 7; i >= 0; i--, value >>= 8) at[i] = (uint8_t)value;
}

/* Count and planned time, for data and chaff alike, into the ring's own copy. Returns the count. */
static uint64_t stamp(struct ring *ring) {
  const struct i405_ring_config *config = &ring->config;
  put_u64(ring->plain + config->count_off, ring->count);
  if (config->time_off != 0) {
    put_u64(ring->plain + config->time_off, (uint64_t)config->wall_base_ns + (uint64_t)ring->time);
  }
  return ring->count++;
}

void ring_freeze_record(struct ring *ring, uint8_t *record, struct shim_key *key, const uint8_t *hdr) {
  struct i405_buf *buf = buffer_of(ring, ring->taken);
  const uint8_t *bytes = (const uint8_t *)(buf + 1);
  int32_t ready = I405_READY;
  bool took = !ring->away &&
    __atomic_compare_exchange_n(&buf->word, &ready, I405_TAKEN, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  bool raw = took && buf->kind == I405_KIND_RAW;
  copy_selected(ring->plain, bytes, ring->instead, ring->plaintext_len, took && !raw);
  bool counted = ring->config.count_off != 0 && (!took || buf->kind == I405_KIND_COUNTED);
  uint64_t count = counted ? stamp(ring) : 0;
  if (key != NULL) ring_seal_record(ring, record, key, hdr);
  if (raw) memcpy(record, bytes, ring->config.datagram_len);
  if (!took) return;
  ring->taken++;
  ring->data_records++;
  buf->count = (double)count;
  __atomic_store_n(&buf->word, I405_FREE, __ATOMIC_RELEASE);
  put_u32(&ring->shared->taken, ring->taken);
}

static void freeze_datagrams(struct ring *ring) {
  adopt_keys(ring);
  adopt_dest(ring);
  adopt_aside(ring);
  ring->away = take_credit(ring);
  ring->keyless = ring->keys.key == NULL && !all_raw(ring);
  for (uint32_t i = 0; i < ring->config.burst && !ring->keyless; i++) {
    ring->instead = ring->away && i == 0 ? ring->aside_plain : ring->chaff;
    ring_freeze_record(ring, ring->sealed + (uint64_t)i * ring->config.datagram_len, ring->keys.key, ring->keys.hdr);
  }
}

void ring_freeze(struct ring *ring) {
  int64_t before = shim_now();
  ring->data_records = 0;
  ring->flags = ring->time_dry ? TRACE_DRY : 0;
  ring->socket_full = false;
  if (ring->config.stream != 0) link_freeze(ring);
  else freeze_datagrams(ring);
  if (ring->keyless || ring->socket_full) return;
  put_f64(&ring->shared->seq_next, (double)ring->seq);
  double took = (double)(shim_now() - before);
  double bound = 0.2 * ring->config.interval_ns; /* one stall of the machine is no measure */
  ring->freeze_ns += (fmin(took, bound) - ring->freeze_ns) / 64;
}

/* ---- send ---- */

static struct dest *dest_of(struct ring *ring) { return ring->away ? &ring->aside.dest : &ring->dest; }

/* `control`: SHIM_CONTROL_LEN bytes, zeros; there is room for more behind what this puts there. Returns whether a
 * transmit stamp is asked for. */
static bool fill_message(struct ring *ring, struct msghdr *message, uint8_t *control) {
  struct dest *dest = dest_of(ring);
  memset(message, 0, sizeof *message);
  message->msg_name = dest->to_len > 0 ? &dest->to : NULL;
  message->msg_namelen = dest->to_len;
  message->msg_iovlen = 1;
  memcpy(control, dest->control, dest->control_len);
  bool stamped = (ring->slot & ring->stamp_mask) == 0;
  size_t stamp_len = stamped ? shim_stamps_ask(dest->fd, ring->time, control + dest->control_len) : 0;
  message->msg_controllen = dest->control_len + stamp_len;
  message->msg_control = message->msg_controllen > 0 ? control : NULL;
  return stamp_len > 0;
}

/* A pending ICMP error took this call's place: clear it and say whether the send is to be repeated. */
static bool clear_pending(int fd) {
  int sent_error = errno, pending;
  socklen_t len = sizeof pending;
  if (sent_error == EAGAIN || sent_error == ENOBUFS || sent_error == EBADF) return false; /* never waited for */
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &len);
  errno = sent_error;
  return true;
}

static uint32_t record_len(const struct ring *ring) {
  return ring->config.datagram_len - (fault_shorten(ring) ? 1 : 0);
}

/* All records of a burst in one call; false if this way does not work here. */
static bool send_segmented(struct ring *ring, uint32_t *sent) {
  struct msghdr message;
  _Alignas(struct cmsghdr) uint8_t control[SHIM_CONTROL_LEN] = {0};
  const struct dest *dest = dest_of(ring);
  uint16_t len = (uint16_t)ring->config.datagram_len;
  struct iovec part = {.iov_base = ring->sealed, .iov_len = (size_t)ring->config.burst * len};
  bool stamped = fill_message(ring, &message, control);
  struct cmsghdr *head = (struct cmsghdr *)(control + message.msg_controllen);
  head->cmsg_level = IPPROTO_UDP;
  head->cmsg_type = UDP_SEGMENT;
  head->cmsg_len = CMSG_LEN(sizeof len);
  memcpy(CMSG_DATA(head), &len, sizeof len);
  message.msg_iov = &part;
  message.msg_control = control;
  message.msg_controllen += CMSG_SPACE(sizeof len);
  for (int tries = 0; tries < 2; tries++) {
    if (sendmsg(dest->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
      *sent = ring->config.burst;
      return true;
    }
    if (stamped) shim_stamps_failed(dest->fd);
    if (errno == EINVAL || errno == EIO || errno == EOPNOTSUPP || errno == ENOPROTOOPT) return false;
    if (!clear_pending(dest->fd)) break;
  }
  return true;
}

static uint32_t send_singly(struct ring *ring) {
  struct msghdr message;
  _Alignas(struct cmsghdr) uint8_t control[SHIM_CONTROL_LEN] = {0};
  struct iovec part = {.iov_len = record_len(ring)};
  uint32_t sent = 0;
  int32_t fd = dest_of(ring)->fd;
  bool stamped = fill_message(ring, &message, control);
  message.msg_iov = &part;
  for (uint32_t i = 0; i < ring->config.burst; i++) {
    part.iov_base = ring->sealed + (uint64_t)i * ring->config.datagram_len;
    ssize_t result = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result < 0 && stamped) shim_stamps_failed(fd);
    if (result < 0 && clear_pending(fd)) {
      result = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    sent += result >= 0;
    if (!stamped) continue;
    stamped = false; /* of a burst the first */
    message.msg_controllen = dest_of(ring)->control_len;
    if (message.msg_controllen == 0) message.msg_control = NULL;
  }
  return sent;
}

static uint32_t send_records(struct ring *ring) {
  if (ring->config.stream != 0) return link_send(ring);
  if (fault_skip(ring)) return 0;
  if (fault_epoch(ring)) ring->sealed[0] ^= 1;
  if (fault_add(ring)) send_singly(ring);
  fault_ecn(ring);
  uint32_t sent = 0;
  if (ring->segment && !fault_shorten(ring)) {
    if (send_segmented(ring, &sent)) return sent;
    ring->segment = false;
  }
  return send_singly(ring);
}

void ring_send(struct ring *ring, int64_t now) {
  struct i405_ring *shared = ring->shared;
  if (ring->keyless || ring->socket_full) {
    if (ring->socket_full) link_send(ring);
    add(ring->keyless ? &shared->keyless : &shared->socket_full, 1);
    trace_slot(ring, 0, ring->flags | TRACE_SKIPPED | (ring->socket_full ? TRACE_SOCKET_FULL : 0));
    count_slot(ring);
    return;
  }
  double actual = (double)now;
  if (fault_reseal(ring)) { /* the same record once more: same number, same plaintext, same bytes */
    ring->seq--;
    ring_seal_record(ring, ring->sealed, ring->keys.key, ring->keys.hdr);
  }
  /* A record that could not be sealed never leaves. */
  uint32_t sent = (ring->flags & TRACE_SEND_ERROR) != 0 ? 0 : send_records(ring);
  double deviation = actual - ring->time;
  count_deviation(shared, deviation);
  add(&shared->records, sent);
  if (ring->away) add(&shared->aside, 1);
  add(&shared->data_records, ring->data_records);
  if (sent < ring->config.burst) add(&shared->send_errors, ring->config.burst - sent);
  uint32_t flags = ring->flags | (deviation > LATE_NS ? TRACE_LATE : 0) |
    (sent < ring->config.burst ? TRACE_SEND_ERROR : 0);
  trace_slot(ring, actual, flags);
  count_slot(ring);
}
