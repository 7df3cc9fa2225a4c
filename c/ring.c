/* Rings, as normal threads handle them: made, fed with times, keys and destinations, started, freed. */
#include "ring.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#define TRAILER_LEN 64u /* behind the shared struct: the ring's index in the table */
#define DATAGRAM_MAX I405_RX_STRIDE
#define BURST_LEN_MAX 65000u
#define BUF_MAX (1u << 14)
#define TIMES_MAX (1u << 20) /* 10 s of slots 10 us apart */
#define REPEAT_NS 1e9
#define STAMP_EVERY_NS 1e6 /* transmit stamps come no closer */
#define SEQ_MAX 281474976710656.0 /* 2^48, RFC 9147 section 4.2.2 */

static struct {
  pthread_mutex_t lock;
  struct ring *table[RING_MAX];
} rings = {.lock = PTHREAD_MUTEX_INITIALIZER};

void ring_lock(void) { pthread_mutex_lock(&rings.lock); }
void ring_unlock(void) { pthread_mutex_unlock(&rings.lock); }

static bool power_of_two(uint32_t n, uint32_t max) { return n > 0 && n <= max && (n & (n - 1)) == 0; }

struct ring *ring_find(uint32_t off) {
  if (shim_check(off, sizeof(struct i405_ring) + TRAILER_LEN, 64) != 0) return NULL;
  uint32_t index;
  memcpy(&index, (uint8_t *)shim_at(off) + sizeof(struct i405_ring), sizeof index);
  if (index >= RING_MAX || rings.table[index] == NULL || rings.table[index]->off != off) return NULL;
  return rings.table[index];
}

/* A count and a time lie inside the plaintext, before its last byte, and beside each other. */
static bool stamps_sound(const struct i405_ring_config *config) {
  uint32_t count = config->count_off, time = config->time_off;
  uint32_t end = config->datagram_len - config->hdr_len - 17;
  if (count == 0) return time == 0;
  bool apart = time == 0 || time >= count + 8 || count >= time + 8;
  return end >= 8 && count <= end - 8 && time <= end - 8 && apart && isfinite(config->wall_base_ns) && config->wall_base_ns >= 0 &&
    config->wall_base_ns < 9e18;
}

static bool config_sound(const struct i405_ring_config *config) {
  bool stream = config->stream == 1;
  if (!stream && config->fd < 0) return false;
  if (stream && (config->fd != -1 || config->seq_len != 0 || config->burst != 1 || config->count_off != 0)) return false;
  return config->stream <= 1 && config->datagram_len <= DATAGRAM_MAX && config->hdr_len > 0 && config->hdr_len <= HDR_MAX &&
    config->datagram_len > config->hdr_len + 16 && config->seq_len <= 2 &&
    config->seq_off <= config->hdr_len && config->seq_off + config->seq_len <= config->hdr_len &&
    config->burst > 0 && config->burst <= BURST_MAX && config->burst * config->datagram_len <= BURST_LEN_MAX &&
    power_of_two(config->buf_count, BUF_MAX) && power_of_two(config->times_count, TIMES_MAX) &&
    (config->trace_count == 0 || power_of_two(config->trace_count, TIMES_MAX)) &&
    stamps_sound(config) &&
    isfinite(config->interval_ns) && config->interval_ns >= 1000 && config->interval_ns <= 1e12;
}

static bool dest_make(struct dest *dest, int32_t fd, const struct i405_addr *to, const struct i405_addr *from) {
  memset(dest, 0, sizeof *dest);
  dest->fd = fd;
  dest->to_len = shim_sockaddr_of(to, &dest->to);
  if (from != NULL) dest->control_len = shim_pktinfo(from, dest->control);
  return fd >= 0 && (to->family == 0 || dest->to_len > 0) &&
    (from == NULL || from->family == 0 || dest->control_len > 0);
}

/* The blocks of a ring: offsets and lengths, so that making and freeing go through one list. */
struct block {
  uint32_t *off;
  uint32_t len;
};
struct blocks {
  uint32_t plain, sealed, history, aside;
  struct block list[9];
  uint32_t count;
};

static void list_blocks(struct ring *ring, struct blocks *blocks) {
  const struct i405_ring_config *config = &ring->config;
  struct i405_ring *shared = ring->shared;
  struct block list[] = {
    {&shared->bufs, config->buf_count * ring->buf_stride},
    {&shared->times, config->times_count * (uint32_t)sizeof(double)},
    {&shared->trace, config->trace_count * (uint32_t)sizeof(struct i405_trace)},
    {&shared->chaff, ring->plaintext_len},
    {&shared->update, config->stream ? ring->plaintext_len : 0},
    {&blocks->plain, ring->plaintext_len},
    {&blocks->sealed, config->burst * config->datagram_len},
    {&blocks->history, ring->history_count * (uint32_t)sizeof(double)},
    {&blocks->aside, config->stream ? 0 : 2 * ring->plaintext_len},
  };
  blocks->count = sizeof list / sizeof list[0];
  memcpy(blocks->list, list, sizeof list);
}

static void free_blocks(struct ring *ring) {
  struct blocks blocks = {
    .plain = ring->plain == NULL ? 0 : (uint32_t)(ring->plain - shim_arena.base),
    .sealed = ring->sealed == NULL ? 0 : (uint32_t)(ring->sealed - shim_arena.base),
    .history = ring->history == NULL ? 0 : (uint32_t)((uint8_t *)ring->history - shim_arena.base),
    .aside = ring->aside_plain == NULL ? 0 : (uint32_t)(ring->aside_plain - shim_arena.base),
  };
  list_blocks(ring, &blocks);
  /* Offsets that TypeScript could have written over are taken from the ring's own pointers. */
  ring->shared->bufs = ring->bufs == NULL ? 0 : (uint32_t)(ring->bufs - shim_arena.base);
  ring->shared->times = ring->times == NULL ? 0 : (uint32_t)((const uint8_t *)ring->times - shim_arena.base);
  ring->shared->trace = ring->trace == NULL ? 0 : (uint32_t)((uint8_t *)ring->trace - shim_arena.base);
  ring->shared->chaff = ring->chaff == NULL ? 0 : (uint32_t)(ring->chaff - shim_arena.base);
  ring->shared->update = ring->update == NULL ? 0 : (uint32_t)(ring->update - shim_arena.base);
  for (uint32_t i = 0; i < blocks.count; i++) {
    if (*blocks.list[i].off != 0) i405_free(*blocks.list[i].off, blocks.list[i].len);
  }
  i405_free(ring->off, sizeof(struct i405_ring) + TRAILER_LEN);
}

static void *pointer_or_null(uint32_t off) { return off == 0 ? NULL : shim_at(off); }

static bool alloc_blocks(struct ring *ring) {
  struct blocks blocks = {0};
  bool all = true;
  list_blocks(ring, &blocks);
  for (uint32_t i = 0; i < blocks.count; i++) {
    if (blocks.list[i].len == 0) continue;
    *blocks.list[i].off = i405_alloc(blocks.list[i].len);
    all = all && *blocks.list[i].off != 0;
  }
  ring->bufs = pointer_or_null(ring->shared->bufs);
  ring->times = pointer_or_null(ring->shared->times);
  ring->trace = pointer_or_null(ring->shared->trace);
  ring->chaff = pointer_or_null(ring->shared->chaff);
  ring->update = pointer_or_null(ring->shared->update);
  ring->plain = pointer_or_null(blocks.plain);
  ring->sealed = pointer_or_null(blocks.sealed);
  ring->history = pointer_or_null(blocks.history);
  ring->aside_plain = pointer_or_null(blocks.aside);
  ring->instead = ring->chaff;
  return all;
}

static int table_add(struct ring *ring) {
  for (uint32_t index = 0; index < RING_MAX; index++) {
    if (rings.table[index] != NULL) continue;
    memcpy((uint8_t *)ring->shared + sizeof(struct i405_ring), &index, sizeof index);
    rings.table[index] = ring;
    return 0;
  }
  return -ENOSPC;
}

static void fill_shared(struct ring *ring) {
  struct i405_ring *shared = ring->shared;
  shared->buf_stride = ring->buf_stride;
  shared->buf_count = ring->config.buf_count;
  shared->plaintext_len = ring->plaintext_len;
  shared->times_count = ring->config.times_count;
  shared->trace_count = ring->config.trace_count;
  /* RFC 8446 section 5.4: a plaintext is never all zeros; TypeScript may write another template before the start. */
  ((uint8_t *)shim_at(shared->chaff))[ring->plaintext_len - 1] = 23;
}

int32_t i405_ring_new(uint32_t config_off) {
  int result = shim_check(config_off, sizeof(struct i405_ring_config), 8);
  if (result != 0) return result;
  struct i405_ring_config config = *(struct i405_ring_config *)shim_at(config_off);
  if (!config_sound(&config)) return -EINVAL;
  struct ring *ring = shim_secret_alloc(sizeof *ring);
  if (ring == NULL) return -ENOMEM;
  ring->config = config;
  ring->plaintext_len = config.datagram_len - config.hdr_len - 16;
  ring->buf_stride = (uint32_t)(sizeof(struct i405_buf) + config.datagram_len + 63) / 64 * 64;
  double per_second = floor(REPEAT_NS / config.interval_ns);
  ring->history_count = per_second < 1 ? 1 : per_second > config.times_count ? config.times_count : (uint32_t)per_second;
  ring->segment = config.burst > 1;
  while ((double)(ring->stamp_mask + 1) * config.interval_ns < STAMP_EVERY_NS) ring->stamp_mask = 2 * ring->stamp_mask + 1;
  ring->freeze_ns = 3000.0 * config.burst;
  ring->off = i405_alloc(sizeof(struct i405_ring) + TRAILER_LEN);
  ring->shared = pointer_or_null(ring->off);
  result = -EINVAL;
  ring->link.fd = -1;
  if (config.stream == 0 && !dest_make(&ring->dest, config.fd, &config.to, &config.from)) goto cleanup;
  ring->aside.dest.fd = ring->aside_next.dest.fd = ring->keys.dest.fd = ring->keys_next.dest.fd = -1;
  atomic_init(&ring->aside_fd, -1);
  atomic_init(&ring->fd_now, config.fd);
  result = -ENOMEM;
  if (ring->shared == NULL || !alloc_blocks(ring)) goto cleanup;
  fill_shared(ring);
  ring_lock();
  result = table_add(ring);
  ring_unlock();
  if (result == 0) return (int32_t)ring->off;
cleanup:
  if (ring->shared != NULL) free_blocks(ring);
  shim_secret_free(ring);
  return result;
}

/* Times must rise, from the last one published; those of slots already gone by may be published too (after a dry
 * spell), they are not used. */
static int check_times(const struct ring *ring, double times_end, uint32_t count) {
  uint32_t mask = ring->config.times_count - 1;
  uint64_t first = (uint64_t)times_end;
  double before = first == 0 ? -INFINITY : ring->times[(first - 1) & mask];
  for (uint32_t i = 0; i < count; i++) {
    double time = ring->times[(first + i) & mask];
    if (!(isfinite(time) && time > before)) return -EINVAL;
    before = time;
  }
  return 0;
}

int32_t i405_ring_times(uint32_t off, uint32_t count) {
  ring_lock();
  struct ring *ring = ring_find(off);
  int result = ring == NULL ? -EINVAL : 0;
  if (result == 0) {
    double times_end = ring->shared->times_end;
    double last = times_end + count;
    uint32_t size = ring->config.times_count;
    result = count > size || last - get_f64(&ring->shared->slot_next) > size ? -ENOSPC : check_times(ring, times_end, count);
    if (result == 0) __atomic_store(&ring->shared->times_end, &last, __ATOMIC_RELEASE);
  }
  ring_unlock();
  return result;
}

int32_t i405_ring_keys(uint32_t off, int32_t key, uint32_t hdr, double first_slot, double first_seq, double first_count) {
  ring_lock();
  struct ring *ring = ring_find(off);
  bool sound = isfinite(first_slot) && first_seq >= 0 && first_seq < SEQ_MAX && first_count < SEQ_MAX;
  int result = ring == NULL || ring->config.stream != 0 || !sound ? -EINVAL : 0;
  if (result == 0) result = shim_check(hdr, ring->config.hdr_len, 1);
  if (result == 0 && atomic_load(&ring->keys_box) != BOX_EMPTY) result = -EBUSY;
  if (result != 0) goto cleanup;
  struct shim_key *held = shim_key_hold(key, &result);
  if (held == NULL) goto cleanup;
  bool initial = !ring->started && ring->keys.key == NULL;
  struct keyset *set = initial ? &ring->keys : &ring->keys_next;
  set->key = held;
  set->dest.fd = -1;
  set->first_slot = first_slot;
  set->first_seq = first_seq;
  set->first_count = first_count;
  memcpy(set->hdr, shim_at(hdr), ring->config.hdr_len);
  if (initial) ring_number(ring);
  else atomic_store_explicit(&ring->keys_box, BOX_FULL, memory_order_release);
  result = 0;
cleanup:
  ring_unlock();
  return result;
}

int32_t i405_ring_dest(uint32_t off, int32_t fd, uint32_t to, uint32_t from) {
  int result = shim_check(to, sizeof(struct i405_addr), 4);
  if (result == 0 && from != 0) result = shim_check(from, sizeof(struct i405_addr), 4);
  if (result != 0) return result;
  struct dest dest;
  if (!dest_make(&dest, fd, shim_at(to), from == 0 ? NULL : shim_at(from))) return -EINVAL;
  ring_lock();
  struct ring *ring = ring_find(off);
  if (ring == NULL || ring->config.stream != 0) {
    result = -EINVAL;
  } else {
    box_claim(&ring->dest_box);
    ring->dest_next = dest;
    atomic_store_explicit(&ring->dest_box, BOX_FULL, memory_order_release);
  }
  ring_unlock();
  return result;
}

int32_t i405_ring_move(uint32_t off, int32_t fd, uint32_t to, uint32_t hdr, double first_slot) {
  int result = shim_check(to, sizeof(struct i405_addr), 4);
  struct keyset set = {.first_slot = first_slot};
  if (result == 0 && (!isfinite(first_slot) || !dest_make(&set.dest, fd, shim_at(to), NULL))) result = -EINVAL;
  if (result != 0) return result;
  ring_lock();
  struct ring *ring = ring_find(off);
  if (ring == NULL || ring->config.stream != 0 || !ring->started) result = -EINVAL;
  if (result == 0) result = shim_check(hdr, ring->config.hdr_len, 1);
  if (result == 0 && atomic_load(&ring->keys_box) != BOX_EMPTY) result = -EBUSY;
  if (result == 0) {
    memcpy(set.hdr, shim_at(hdr), ring->config.hdr_len);
    ring->keys_next = set;
    atomic_store_explicit(&ring->keys_box, BOX_FULL, memory_order_release);
  }
  ring_unlock();
  return result;
}

int32_t i405_ring_aside(uint32_t off, int32_t fd, uint32_t to, uint32_t from, uint32_t plain) {
  int result = to == 0 ? 0 : shim_check(to, sizeof(struct i405_addr), 4);
  if (result == 0 && to != 0) result = shim_check(from, sizeof(struct i405_addr), 4);
  if (result != 0) return result;
  struct aside aside = {.dest.fd = -1};
  if (to != 0 && !dest_make(&aside.dest, fd, shim_at(to), shim_at(from))) return -EINVAL;
  ring_lock();
  struct ring *ring = ring_find(off);
  if (ring == NULL || ring->config.stream != 0) result = -EINVAL;
  if (result == 0 && to != 0) result = shim_check(plain, ring->plaintext_len, 1);
  if (result == 0) {
    aside.generation = (uint16_t)((atomic_load(&ring->credit) >> CREDIT_BITS) + 1);
    atomic_store(&ring->credit, (uint64_t)aside.generation << CREDIT_BITS); /* what the one before has left is lost */
    box_claim(&ring->aside_box);
    ring->aside_next = aside;
    if (to != 0) memcpy(ring->aside_plain + ring->plaintext_len, shim_at(plain), ring->plaintext_len);
    atomic_store_explicit(&ring->aside_box, BOX_FULL, memory_order_release);
  }
  ring_unlock();
  return result;
}

int32_t i405_ring_credit(uint32_t off, uint32_t bytes) {
  ring_lock();
  struct ring *ring = ring_find(off);
  if (ring != NULL) {
    uint64_t credit = atomic_load(&ring->credit);
    if ((credit & CREDIT_MASK) + bytes <= CREDIT_MASK) atomic_store(&ring->credit, credit + bytes);
  }
  ring_unlock();
  return ring == NULL ? -EINVAL : 0;
}

int32_t i405_ring_start(uint32_t off) {
  ring_lock();
  struct ring *ring = ring_find(off);
  int result = ring == NULL || ring->shared->times_end < 1 ? -EINVAL : ring->started ? -EALREADY : 0;
  if (result == 0) {
    ring_first(ring);
    result = pacer_add(ring);
    ring->started = result == 0;
  }
  ring_unlock();
  return result;
}

int32_t i405_ring_free(uint32_t off) {
  ring_lock();
  struct ring *ring = ring_find(off);
  int result = ring == NULL ? -EINVAL : ring->started ? pacer_remove(ring) : 0;
  if (result == 0) {
    for (uint32_t index = 0; index < RING_MAX; index++) {
      if (rings.table[index] == ring) rings.table[index] = NULL;
    }
    shim_key_release(ring->keys.key);
    if (atomic_load(&ring->keys_box) == BOX_FULL) shim_key_release(ring->keys_next.key);
    shim_key_release(ring->link.key);
    if (atomic_load(&ring->link_box) == BOX_FULL) shim_key_release(ring->link_next.key);
    free_blocks(ring);
    shim_secret_free(ring);
  }
  ring_unlock();
  return result;
}

bool shim_fd_in_ring(int32_t fd) {
  bool found = false;
  ring_lock();
  for (uint32_t index = 0; index < RING_MAX && !found; index++) {
    struct ring *ring = rings.table[index];
    if (ring == NULL) continue;
    bool coming = (atomic_load(&ring->dest_box) != BOX_EMPTY && ring->dest_next.fd == fd) ||
      (atomic_load(&ring->keys_box) != BOX_EMPTY && ring->keys_next.dest.fd == fd) ||
      (atomic_load(&ring->aside_box) != BOX_EMPTY && ring->aside_next.dest.fd == fd) ||
      (atomic_load(&ring->link_box) != BOX_EMPTY && ring->link_next.fd == fd);
    found = coming || atomic_load(&ring->fd_now) == fd || atomic_load(&ring->aside_fd) == fd;
  }
  ring_unlock();
  return found;
}
