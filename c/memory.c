/* The arena and the secret heap: two slab allocators over locked, non-dumpable mappings; and the clock. */
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define GRANULE 64u
#define CLASS_COUNT 96u
#define FREE_BIT 0x80u
#define ARENA_MIN_LEN (1u << 20)
#define ARENA_MAX_LEN (1u << 30)          /* offsets are returned as int32_t */
#define SECRET_LEN (UINT64_C(64) << 20)   /* address space; pages come and are locked as they are needed */
#define LOCK_STEP (UINT64_C(64) << 10)

/* Blocks come in size classes: 1..4 granules, then four classes per octave, so at most a quarter is unused. */
struct slab {
  pthread_mutex_t lock;
  uint8_t *base;
  uint64_t len;
  uint64_t next;       /* first byte never handed out */
  uint64_t locked_end; /* up to here mlock has been tried */
  uint64_t unlocked;   /* bytes for which it failed */
  uint64_t count;      /* blocks ever handed out */
  uint8_t *classes;    /* per granule: class + 1 of the block that starts there, with FREE_BIT while free */
  uint32_t free_first[CLASS_COUNT]; /* granule index; 0: none */
};

struct shim_arena shim_arena;
static struct slab arena_slab = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct slab secret_slab = {.lock = PTHREAD_MUTEX_INITIALIZER};
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

static uint32_t class_of(uint64_t granules) {
  if (granules <= 4) return (uint32_t)granules - 1;
  uint32_t octave = 63 - (uint32_t)__builtin_clzll(granules - 1);
  return 4 * (octave - 2) + (uint32_t)((granules - 1) >> (octave - 2));
}

static uint64_t class_len(uint32_t class) {
  if (class < 4) return (uint64_t)(class + 1) * GRANULE;
  return (uint64_t)(class % 4 + 5) * GRANULE << (class / 4 - 1);
}

static void *map(uint64_t len) {
  void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return NULL;
  madvise(at, len, MADV_DONTDUMP);
  madvise(at, len, MADV_WIPEONFORK);
  return at;
}

static int slab_open(struct slab *slab, uint64_t len) {
  slab->classes = map(len / GRANULE);
  slab->base = map(len);
  if (slab->base == NULL || slab->classes == NULL) {
    if (slab->base != NULL) munmap(slab->base, len);
    if (slab->classes != NULL) munmap(slab->classes, len / GRANULE);
    slab->base = NULL;
    return -ENOMEM;
  }
  slab->len = len;
  slab->next = GRANULE; /* offset 0 means none */
  return 0;
}

static void lock_up_to(struct slab *slab, uint64_t end) {
  if (end <= slab->locked_end) return;
  uint64_t upto = (end + LOCK_STEP - 1) / LOCK_STEP * LOCK_STEP;
  if (upto > slab->len) upto = slab->len;
  if (mlock(slab->base + slab->locked_end, upto - slab->locked_end) != 0) slab->unlocked += upto - slab->locked_end;
  slab->locked_end = upto;
}

static uint64_t take_free(struct slab *slab, uint32_t class) {
  uint64_t off = (uint64_t)slab->free_first[class] * GRANULE;
  if (off == 0) return 0;
  uint32_t following;
  memcpy(&following, slab->base + off, sizeof following);
  /* A link that somebody wrote over must not lead anywhere: the rest of that list is given up. */
  bool sound = following < slab->len / GRANULE && (following == 0 || slab->classes[following] == (FREE_BIT | (class + 1)));
  slab->free_first[class] = sound ? following : 0;
  return off;
}

static uint64_t slab_alloc(struct slab *slab, uint64_t len) {
  if (len == 0 || slab->base == NULL || len > slab->len) return 0;
  uint32_t class = class_of((len + GRANULE - 1) / GRANULE);
  pthread_mutex_lock(&slab->lock);
  uint64_t off = take_free(slab, class);
  if (off == 0 && class_len(class) <= slab->len - slab->next) {
    off = slab->next;
    slab->next += class_len(class);
    lock_up_to(slab, slab->next);
  }
  if (off != 0) {
    slab->classes[off / GRANULE] = (uint8_t)(class + 1);
    slab->count++;
    memset(slab->base + off, 0, class_len(class));
  }
  pthread_mutex_unlock(&slab->lock);
  return off;
}

/* len 0: whatever it was. */
static int slab_free(struct slab *slab, uint64_t off, uint64_t len) {
  if (off == 0 || off >= slab->len || off % GRANULE != 0 || len > slab->len) return -EINVAL;
  int result = -EINVAL;
  pthread_mutex_lock(&slab->lock);
  uint8_t mark = slab->classes[off / GRANULE];
  bool given = mark != 0 && (mark & FREE_BIT) == 0;
  if (given && (len == 0 || class_of((len + GRANULE - 1) / GRANULE) == mark - 1u)) {
    uint32_t class = mark - 1u;
    explicit_bzero(slab->base + off, class_len(class));
    memcpy(slab->base + off, &slab->free_first[class], sizeof slab->free_first[class]);
    slab->free_first[class] = (uint32_t)(off / GRANULE);
    slab->classes[off / GRANULE] = FREE_BIT | mark;
    result = 0;
  }
  pthread_mutex_unlock(&slab->lock);
  return result;
}

void *shim_secret_alloc(size_t len) {
  uint64_t off = slab_alloc(&secret_slab, len);
  return off == 0 ? NULL : secret_slab.base + off;
}

void shim_secret_free(void *block) {
  if (block != NULL) slab_free(&secret_slab, (uint64_t)((uint8_t *)block - secret_slab.base), 0);
}

void *shim_secret_realloc(void *block, size_t len) {
  if (block == NULL) return shim_secret_alloc(len);
  if (len == 0) {
    shim_secret_free(block);
    return NULL;
  }
  uint64_t granule = (uint64_t)((uint8_t *)block - secret_slab.base) / GRANULE;
  uint64_t old_len = class_len(secret_slab.classes[granule] - 1u);
  if (len <= old_len) return block;
  void *moved = shim_secret_alloc(len);
  if (moved == NULL) return NULL;
  memcpy(moved, block, old_len);
  shim_secret_free(block);
  return moved;
}

uint64_t shim_secret_count(void) {
  pthread_mutex_lock(&secret_slab.lock);
  uint64_t count = secret_slab.count;
  pthread_mutex_unlock(&secret_slab.lock);
  return count;
}

double i405_secret_blocks(void) { return (double)shim_secret_count(); }

int32_t i405_open(uint32_t arena_len) {
  pthread_mutex_lock(&open_lock);
  int result = 0;
  if (shim_arena.base != NULL) goto cleanup;
  if (arena_len < ARENA_MIN_LEN || arena_len > ARENA_MAX_LEN) {
    result = -EINVAL;
    goto cleanup;
  }
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  shim_arena.base_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  sched_getaffinity(0, sizeof shim_arena.allowed, &shim_arena.allowed);
  if (secret_slab.base == NULL) {
    result = slab_open(&secret_slab, SECRET_LEN);
    if (result == 0) result = shim_aead_init();
    if (result != 0) goto cleanup;
  }
  uint64_t len = (arena_len + LOCK_STEP - 1) / LOCK_STEP * LOCK_STEP;
  result = slab_open(&arena_slab, len);
  if (result != 0) goto cleanup;
  shim_arena.len = len;
  shim_arena.base = arena_slab.base;
cleanup:
  pthread_mutex_unlock(&open_lock);
  return result;
}

void *i405_base(void) { return shim_arena.base; }

uint32_t i405_arena_len(void) { return (uint32_t)shim_arena.len; }

uint32_t i405_alloc(uint32_t len) { return (uint32_t)slab_alloc(&arena_slab, len); }

int32_t i405_free(uint32_t off, uint32_t len) { return len == 0 ? -EINVAL : slab_free(&arena_slab, off, len); }

uint32_t i405_unlocked_len(void) {
  uint64_t total = 0;
  struct slab *slabs[] = {&arena_slab, &secret_slab};
  for (int i = 0; i < 2; i++) {
    pthread_mutex_lock(&slabs[i]->lock);
    total += slabs[i]->unlocked;
    pthread_mutex_unlock(&slabs[i]->lock);
  }
  return total > UINT32_MAX ? UINT32_MAX : (uint32_t)total;
}

double i405_now(void) { return (double)shim_now(); }

/* The two clocks are read in turn; of three tries the one with the least time between its reads counts. */
int64_t shim_wall_base(void) {
  int64_t best_gap = INT64_MAX, base = 0;
  for (int i = 0; i < 3; i++) {
    struct timespec wall;
    int64_t before = shim_now();
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t after = shim_now();
    if (after - before >= best_gap) continue;
    best_gap = after - before;
    base = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - (before + after) / 2;
  }
  return base;
}

double i405_wall_base(void) { return (double)shim_wall_base(); }
