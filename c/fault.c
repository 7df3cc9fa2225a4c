/* Faults that test builds (c/build.sh --faults) switch on, so that tests can show that each is caught. Without
 * I405_FAULTS nothing here does anything. A fault acts on slots with data, or while there were some of late. */
#include "ring.h"

#include <netinet/in.h>
#include <stdlib.h>

#ifdef I405_FAULTS

#define BUSY_SLOTS 64u /* so long after a slot with data a ring counts as busy */

static atomic_int fault_kind;
static uint32_t busy_slots;  /* slots since a fault began, of busy rings */
static double drift_ns;

int32_t i405_fault(int32_t kind) {
  atomic_store(&fault_kind, kind);
  return 0;
}

void fault_from_environment(void) {
  const char *kind = getenv("I405_FAULT");
  if (kind != NULL) i405_fault(atoi(kind));
}

static bool is(int kind) { return atomic_load(&fault_kind) == kind; }
static bool has_data(const struct ring *ring, int kind) { return ring->data_records > 0 && is(kind); }

int32_t fault_delay(const struct ring *ring) {
  if (ring->data_records == 0) return (int32_t)drift_ns;
  busy_slots++;
  if (is(I405_FAULT_RATE_TENTH_PPM)) drift_ns += ring->config.interval_ns * 1e-7;
  if (is(I405_FAULT_RATE_PPM)) drift_ns += ring->config.interval_ns * 1e-6;
  if (is(I405_FAULT_RATE_PERMILLE)) drift_ns += ring->config.interval_ns * 1e-3;
  return is(I405_FAULT_DELAY) ? 50000 : is(I405_FAULT_LATE_2US) ? 2000 : is(I405_FAULT_LATE_300NS) ? 300
    : (int32_t)drift_ns;
}

bool fault_room(void) { return is(I405_FAULT_ROOM); }
bool fault_skip(const struct ring *ring) {
  return has_data(ring, I405_FAULT_SKIP) || (has_data(ring, I405_FAULT_SKIP_1000) && busy_slots % 1000 == 0);
}
bool fault_add(const struct ring *ring) { return has_data(ring, I405_FAULT_ADD); }
bool fault_shorten(const struct ring *ring) {
  return has_data(ring, I405_FAULT_SHORTEN) || (has_data(ring, I405_FAULT_SHORTEN_10000) && busy_slots % 10000 == 0);
}
/* Not before a tunnel can be up: what carries its handshake is finished when it comes here. */
static bool is_up(const struct ring *ring) { return getenv("I405_FAULT") == NULL || ring->slot > 5000; }
bool fault_epoch(const struct ring *ring) { return has_data(ring, I405_FAULT_EPOCH) && is_up(ring); }
bool fault_reseal(const struct ring *ring) {
  return has_data(ring, I405_FAULT_SEAL_LATE) && is_up(ring) && ring->keys.key != NULL;
}

bool fault_split(const struct ring *ring) { return has_data(ring, I405_FAULT_SPLIT); }

void fault_ecn(const struct ring *ring) {
  if (!is(I405_FAULT_ECN)) return;
  int tos = ring->data_records > 0 ? 2 : 0;
  setsockopt(ring->dest.fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
}

#else

void fault_from_environment(void) {}
int32_t fault_delay(const struct ring *ring) { return (void)ring, 0; }
bool fault_room(void) { return false; }
bool fault_skip(const struct ring *ring) { return (void)ring, false; }
bool fault_add(const struct ring *ring) { return (void)ring, false; }
bool fault_shorten(const struct ring *ring) { return (void)ring, false; }
bool fault_epoch(const struct ring *ring) { return (void)ring, false; }
bool fault_reseal(const struct ring *ring) { return (void)ring, false; }
bool fault_split(const struct ring *ring) { return (void)ring, false; }
void fault_ecn(const struct ring *ring) { (void)ring; }

#endif
