/* Keeps a CPU from idling while its pacer sleeps (poll mode spinny): a thread that computes nothing, at SCHED_IDLE, so
 * that whatever else wants the CPU has it. What a wake-up takes then does not depend on how long the CPU was idle, and a
 * virtual CPU that is always busy is not taken from its host's run queue. */
#include "ring.h"

#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>

static struct {
  pthread_t thread;
  bool alive;
  atomic_bool stopping;
  int32_t cpu;
} filler;

static void *filler_main(void *nothing) {
  (void)nothing;
  prctl(PR_SET_NAME, "i405-filler");
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)filler.cpu, &set);
  struct sched_param lowest = {.sched_priority = 0};
  /* Never without both: at normal priority it would take the CPU from others. */
  if (sched_setaffinity(0, sizeof set, &set) != 0 || sched_setscheduler(0, SCHED_IDLE, &lowest) != 0) return NULL;
  while (!atomic_load_explicit(&filler.stopping, memory_order_relaxed)) {
    for (volatile int i = 0; i < 256; i++) { /* busy */ }
  }
  return NULL;
}

int filler_start(int32_t cpu) {
  if (filler.alive || cpu < 0 || cpu >= CPU_SETSIZE) return -EINVAL;
  filler.cpu = cpu;
  atomic_store(&filler.stopping, false);
  int failed = pthread_create(&filler.thread, NULL, filler_main, NULL);
  filler.alive = failed == 0;
  return -failed;
}

void filler_stop(void) {
  if (!filler.alive) return;
  atomic_store(&filler.stopping, true);
  pthread_join(filler.thread, NULL);
  filler.alive = false;
}
