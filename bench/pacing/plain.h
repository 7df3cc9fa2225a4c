/* What the plain pacers in C have in common. */
#include <sched.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

/* For qsort, of int64_t. */
static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

/* Pins this thread to `cpu` (-1: nowhere), with FIFO if that may be: then 1. */
static int be_real_time(int cpu) {
  prctl(PR_SET_TIMERSLACK, 1UL);
  if (cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
  }
  struct sched_param priority = {.sched_priority = 50};
  return sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
}

/* Sleeps until `lead` before `time`, it being `at`, and spins until then; returns what it is after that. All in ns. */
static inline int64_t wait_until(int64_t time, int64_t lead, int64_t at) {
  int64_t wake = time - lead;
  if (at < wake) {
    struct timespec until = {.tv_sec = wake / 1000000000, .tv_nsec = wake % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  }
  while ((at = now()) < time) continue;
  return at;
}
