/* The pacer thread: 1 commands · 2 rest until the next slot's freeze · 3 freeze it, and those close behind it ·
 * 4 wait for each one's time and send · 5 back into the heap. Nothing here waits for a lock or for another thread. */
#include "ring.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIFO_PRIORITY 50
#define STACK_LEN (256u << 10)
#define REST_MAX_NS 10000000    /* so that commands are seen */
#define SLEEP_MIN_NS 1000
#define STALL_NS 1000000        /* longer than this between two readings of the clock, somebody else ran */
#define LEAD_MIN_NS 20000.0
#define LEAD_MAX_NS 1000000.0   /* when the caller names no cap */
#define LEAD_SHARE 0.3          /* of a ring's interval at most */
#define AWAKE_SHARE 0.88        /* the kernel throttles a FIFO thread at 0.95 of a second */
#define CREDIT_MAX_NS 20e6
#define MERGE_NS 50000.0
#define MERGE_MAX 16
#define WAKES_PER_WINDOW 1024u
#define CALIBRATE_MAX 8192

enum command { COMMAND_NONE, COMMAND_ADD, COMMAND_REMOVE, COMMAND_STOP, COMMAND_TAKEN };

static struct {
  /* normal threads', under ring.c's lock */
  pthread_t thread;
  bool alive;
  uint8_t *stack;
  uint32_t state_off;
  /* between both */
  atomic_int command; /* the caller sets it, the pacer clears it when done */
  struct ring *command_ring;
  struct i405_pacer_state *state;
  struct i405_pacer_config config;
  /* pacer's */
  struct ring *heap[RING_MAX];
  uint32_t heap_count;
  double lead_ns, lead_max_ns;
  double credit_ns;   /* how long it may go on without sleep before the kernel would make it */
  int64_t awake_from; /* when the present stretch without sleep began */
  uint32_t wakes, wakes_late;
  bool stopping;
} pacer;

/* ---- heap of rings by time ---- */

static void heap_down(uint32_t at) {
  struct ring *moved = pacer.heap[at];
  for (;;) {
    uint32_t child = 2 * at + 1;
    if (child >= pacer.heap_count) break;
    if (child + 1 < pacer.heap_count && pacer.heap[child + 1]->time < pacer.heap[child]->time) child++;
    if (pacer.heap[child]->time >= moved->time) break;
    pacer.heap[at] = pacer.heap[child];
    at = child;
  }
  pacer.heap[at] = moved;
}

static void heap_up(uint32_t at) {
  struct ring *moved = pacer.heap[at];
  while (at > 0 && moved->time < pacer.heap[(at - 1) / 2]->time) {
    pacer.heap[at] = pacer.heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  pacer.heap[at] = moved;
}

static void heap_push(struct ring *ring) {
  pacer.heap[pacer.heap_count] = ring;
  heap_up(pacer.heap_count++);
}

static void heap_remove(uint32_t at) {
  struct ring *last = pacer.heap[--pacer.heap_count];
  if (at == pacer.heap_count) return;
  pacer.heap[at] = last;
  heap_down(at);
  heap_up(at);
}

/* ---- commands ---- */

static void do_command(void) {
  int command = atomic_load_explicit(&pacer.command, memory_order_acquire);
  if (command == COMMAND_NONE || !atomic_compare_exchange_strong(&pacer.command, &command, COMMAND_TAKEN)) return;
  struct ring *ring = pacer.command_ring;
  if (command == COMMAND_ADD) {
    put_u32(&ring->shared->running, 1);
    heap_push(ring);
  } else if (command == COMMAND_REMOVE) {
    for (uint32_t at = 0; at < pacer.heap_count; at++) {
      if (pacer.heap[at] == ring) heap_remove(at);
    }
    put_u32(&ring->shared->running, 0);
  } else {
    pacer.stopping = true;
  }
  atomic_store_explicit(&pacer.command, COMMAND_NONE, memory_order_release);
}

/* Normal threads: posts a command and waits until it is done. One that is not taken in time is withdrawn. */
static int post(enum command command, struct ring *ring) {
  struct timespec pause = {.tv_nsec = 200000};
  pacer.command_ring = ring;
  atomic_store_explicit(&pacer.command, command, memory_order_release);
  for (int i = 0; i < 25000; i++) {
    if (atomic_load_explicit(&pacer.command, memory_order_acquire) == COMMAND_NONE) return 0;
    nanosleep(&pause, NULL);
  }
  int posted = command;
  if (atomic_compare_exchange_strong(&pacer.command, &posted, COMMAND_NONE)) return -ETIMEDOUT;
  while (atomic_load_explicit(&pacer.command, memory_order_acquire) != COMMAND_NONE) nanosleep(&pause, NULL);
  return 0;
}

int pacer_add(struct ring *ring) {
  if (!pacer.alive || atomic_load(&pacer.command) != COMMAND_NONE) return -ESRCH;
  return post(COMMAND_ADD, ring);
}

int pacer_remove(struct ring *ring) {
  if (!pacer.alive) return 0;
  if (atomic_load(&pacer.command) != COMMAND_NONE) return -ETIMEDOUT;
  return post(COMMAND_REMOVE, ring);
}

/* ---- waiting ---- */

/* Accounts a stretch without sleep that ends now: `slept` ns of sleep follow it or not. */
static void account(int64_t asleep_from, int64_t awake_again) {
  double awake = (double)(asleep_from - pacer.awake_from), slept = (double)(awake_again - asleep_from);
  pacer.awake_from = awake_again;
  pacer.credit_ns += slept * AWAKE_SHARE - awake * (1 - AWAKE_SHARE);
  if (pacer.credit_ns > CREDIT_MAX_NS) pacer.credit_ns = CREDIT_MAX_NS;
  if (pacer.credit_ns < -5 * CREDIT_MAX_NS) {
    put_u32(&pacer.state->flags, pacer.state->flags | I405_PACER_THROTTLED);
    pacer.credit_ns = -CREDIT_MAX_NS;
  }
}

/* Sleeps until `until` (ns since the base) and returns the time. */
static int64_t sleep_until(int64_t until) {
  int64_t absolute = until + shim_arena.base_ns, before = shim_now();
  struct timespec at = {.tv_sec = absolute / 1000000000, .tv_nsec = absolute % 1000000000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
  int64_t now = shim_now();
  account(before, now);
  return now;
}

/* Not accounted: what follows it may be a send. */
static int64_t spin_until(int64_t until) {
  int64_t before = shim_now(), now = before;
  while (now < until) {
    now = shim_now();
    if (now - before > STALL_NS) {
      put_f64(&pacer.state->stalls, pacer.state->stalls + 1);
      if ((double)(now - before) > pacer.state->stall_max_ns) put_f64(&pacer.state->stall_max_ns, (double)(now - before));
    }
    before = now;
  }
  return now;
}

static bool may_spin_until(int64_t until) {
  return pacer.credit_ns > (double)(until - pacer.awake_from) * (1 - AWAKE_SHARE);
}

/* The lead grows as soon as more than 0.2 % of a window's wake-ups have come later than it allows for: beyond the last
 * of those, by a quarter at least. It never shrinks. */
static void judge_wake(double latency_ns) {
  pacer.wakes++;
  pacer.wakes_late += latency_ns > pacer.lead_ns;
  bool short_of = pacer.wakes_late > WAKES_PER_WINDOW / 500;
  if (!short_of && pacer.wakes < WAKES_PER_WINDOW) return;
  if (short_of && pacer.lead_ns < pacer.lead_max_ns) {
    pacer.lead_ns = fmin(fmax(latency_ns, pacer.lead_ns) * 1.25, pacer.lead_max_ns);
    put_f64(&pacer.state->lead_ns, pacer.lead_ns);
  }
  pacer.wakes = pacer.wakes_late = 0;
}

/* Until the freeze of the next slot, or a while; the caller looks again. */
static void rest_until(int64_t wake) {
  int64_t now = shim_now();
  int64_t until = wake - now > REST_MAX_NS ? now + REST_MAX_NS : wake;
  if (pacer.config.poll_mode == I405_POLL_SPINNY) {
    /* The sleep that it owes is taken where there is most room, and ends early enough for nearly every wake-up. */
    int64_t early = until - (int64_t)pacer.state->wake_p99_ns;
    if (may_spin_until(until)) {
      now = spin_until(until);
      account(now, now);
    } else {
      sleep_until(early > now + SLEEP_MIN_NS ? early : now + SLEEP_MIN_NS);
    }
    return;
  }
  now = sleep_until(until);
  if (until == wake) judge_wake((double)(now - wake));
}

/* Returns the time, which is not before `time`. */
static int64_t wait_for_slot(int64_t time) {
  int64_t now = shim_now();
  while (now < time) {
    now = pacer.config.poll_mode != I405_POLL_SLEEPY && may_spin_until(time) ? spin_until(time) : sleep_until(time);
  }
  return now;
}

static int64_t freeze_time(const struct ring *ring) {
  double lead = fmin(pacer.lead_ns, LEAD_SHARE * ring->config.interval_ns);
  return llrint(ring->time - lead - 2 * ring->freeze_ns);
}

/* ---- slots ---- */

/* Freezes the first ring's slot, and those so close behind it that there would be no time between the two. */
static uint32_t freeze_group(struct ring **group) {
  uint32_t count = 0;
  while (pacer.heap_count > 0 && count < MERGE_MAX) {
    struct ring *ring = pacer.heap[0];
    double now = (double)shim_now();
    if (count > 0 && (ring->time > group[0]->time + MERGE_NS || now + 2 * ring->freeze_ns > group[0]->time)) break;
    heap_remove(0);
    if (ring_skip_due(ring, now)) {
      ring_skip(ring);
      ring_advance(ring);
      heap_push(ring);
      break;
    }
    ring_freeze(ring);
    group[count++] = ring;
  }
  return count;
}

static void run_slots(void) {
  struct ring *group[MERGE_MAX];
  uint32_t count = freeze_group(group);
  for (uint32_t i = 0; i < count; i++) {
    ring_send(group[i], wait_for_slot(llrint(group[i]->time) + fault_delay(group[i])));
    ring_advance(group[i]);
  }
  for (uint32_t i = 0; i < count; i++) heap_push(group[i]);
  int64_t now = shim_now();
  account(now, now);
}

static void loop(void) {
  pacer.awake_from = shim_now();
  while (!pacer.stopping) {
    do_command();
    if (pacer.heap_count == 0) {
      sleep_until(shim_now() + REST_MAX_NS);
      continue;
    }
    int64_t wake = freeze_time(pacer.heap[0]);
    if (shim_now() < wake) {
      rest_until(wake);
    } else {
      run_slots();
    }
  }
  for (uint32_t i = 0; i < pacer.heap_count; i++) put_u32(&pacer.heap[i]->shared->running, 0);
  pacer.heap_count = 0;
}

/* ---- start ---- */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* The machine's own wake-up latency, on this very thread: sleeps of 200 to 500 us. */
static void calibrate(void) {
  static double latency[CALIBRATE_MAX];
  int64_t end = shim_now() + (int64_t)pacer.config.calibrate_ms * 1000000;
  uint32_t count = 0;
  while (count < CALIBRATE_MAX && shim_now() < end) {
    int64_t until = shim_now() + 200000 + (count % 8) * 40000;
    latency[count++] = (double)(sleep_until(until) - until);
  }
  if (count == 0) return;
  qsort(latency, count, sizeof latency[0], compare);
  put_f64(&pacer.state->wake_p50_ns, latency[count / 2]);
  put_f64(&pacer.state->wake_p99_ns, latency[(uint64_t)count * 99 / 100]);
  put_f64(&pacer.state->wake_p999_ns, latency[(uint64_t)count * 999 / 1000]);
}

static void raise_flag(uint32_t flag) { put_u32(&pacer.state->flags, pacer.state->flags | flag); }

/* The CPU to pin to: the one asked for, or the last of those allowed, which interrupts and others use least. */
static void pin(void) {
  int32_t cpu = pacer.config.cpu;
  bool alone = CPU_COUNT(&shim_arena.allowed) > 1 && cpu != -2;
  for (int i = CPU_SETSIZE - 1; i >= 0 && cpu == -1; i--) {
    if (CPU_ISSET((size_t)i, &shim_arena.allowed)) cpu = i;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET((size_t)cpu, &set);
  bool pinned = cpu >= 0 && sched_setaffinity(0, sizeof set, &set) == 0;
  pacer.state->cpu = pinned ? cpu : -1;
  if (!pinned || !alone) raise_flag(I405_PACER_SHARED_CPU);
}

static void *pacer_main(void *nothing) {
  (void)nothing;
  pacer.state->tid = (int32_t)syscall(SYS_gettid);
  prctl(PR_SET_NAME, "i405-pacer");
  prctl(PR_SET_TIMERSLACK, 1UL);
  pin();
  struct sched_param priority = {.sched_priority = FIFO_PRIORITY};
  if (pacer.config.fifo == 0 || sched_setscheduler(0, SCHED_FIFO, &priority) != 0) raise_flag(I405_PACER_NO_FIFO);
  pacer.awake_from = shim_now();
  calibrate();
  double cap = pacer.config.lead_max_ns > 0 ? pacer.config.lead_max_ns : LEAD_MAX_NS;
  double wanted = fmax(fmax(pacer.config.lead_ns, pacer.state->wake_p999_ns), LEAD_MIN_NS);
  pacer.lead_max_ns = cap;
  pacer.lead_ns = fmin(wanted, cap);
  put_f64(&pacer.state->lead_ns, pacer.lead_ns);
  put_u32(&pacer.state->running, 1);
  loop();
  put_u32(&pacer.state->running, 0);
  return NULL;
}

/* A stack that is locked and not dumped: it holds what was sealed last. */
static int make_thread(void) {
  if (pacer.stack == NULL) {
    void *at = mmap(NULL, STACK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (at == MAP_FAILED) return -ENOMEM;
    madvise(at, STACK_LEN, MADV_DONTDUMP);
    mprotect(at, 4096, PROT_NONE);
    pacer.stack = at;
  }
  if (mlock(pacer.stack + 4096, STACK_LEN - 4096) != 0) raise_flag(I405_PACER_NO_LOCK);
  pthread_attr_t attr;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_init(&attr);
  pthread_attr_setstack(&attr, pacer.stack, STACK_LEN);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread handles no signals */
  int failed = pthread_create(&pacer.thread, &attr, pacer_main, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  return -failed;
}

static bool config_sound(const struct i405_pacer_config *config) {
  return config->poll_mode <= I405_POLL_SPINNY && config->cpu >= -2 && config->calibrate_ms <= 10000 &&
    isfinite(config->lead_ns) && isfinite(config->lead_max_ns) && config->lead_ns >= 0 && config->lead_ns <= 1e8 &&
    config->lead_max_ns >= 0 && config->lead_max_ns <= 1e8;
}

static int start(const struct i405_pacer_config *config) {
  if (pacer.alive) return -EALREADY;
  if (pacer.state_off == 0) pacer.state_off = i405_alloc(sizeof(struct i405_pacer_state));
  if (pacer.state_off == 0) return -ENOMEM;
  pacer.state = shim_at(pacer.state_off);
  memset(pacer.state, 0, sizeof *pacer.state);
  pacer.config = *config;
  pacer.heap_count = pacer.wakes = pacer.wakes_late = 0;
  pacer.credit_ns = 0;
  pacer.stopping = false;
  atomic_store(&pacer.command, COMMAND_NONE);
  int result = make_thread();
  if (result != 0) return result;
  pacer.alive = true;
  struct timespec pause = {.tv_nsec = 200000};
  while (__atomic_load_n(&pacer.state->running, __ATOMIC_ACQUIRE) == 0) nanosleep(&pause, NULL);
  bool alone = (pacer.state->flags & (I405_PACER_SHARED_CPU | I405_PACER_NO_FIFO)) == 0;
  if (config->poll_mode == I405_POLL_SPINNY && alone) filler_start(pacer.state->cpu);
  return (int)pacer.state_off;
}

int32_t i405_pacer_start(uint32_t off) {
  int result = shim_check(off, sizeof(struct i405_pacer_config), 8);
  if (result != 0) return result;
  struct i405_pacer_config config = *(struct i405_pacer_config *)shim_at(off);
  if (!config_sound(&config)) return -EINVAL;
  fault_from_environment();
  ring_lock();
  result = start(&config);
  ring_unlock();
  return result;
}

int32_t i405_pacer_stop(void) {
  ring_lock();
  int result = !pacer.alive ? -ESRCH : atomic_load(&pacer.command) != COMMAND_NONE ? -ETIMEDOUT : post(COMMAND_STOP, NULL);
  if (result == 0) {
    pthread_join(pacer.thread, NULL);
    filler_stop();
    pacer.alive = false;
  }
  ring_unlock();
  return result;
}
