/* When packets really left: the kernel's transmit time stamps (SO_TIMESTAMPING, made as the driver hands a packet to its
 * card), held against the slots that they were planned for. The pacer asks for a stamp with a send, by a rule that knows
 * nothing but the slot's number; the thread that receives takes stamps from the socket's error queue and counts. */
#include "ring.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <math.h>
#include <netinet/in.h>
#include <string.h>

#define SOCKETS_MAX 8
#define WINDOW 4096u /* stamps that may be under way */
#define BATCH 64
#define REPORT (SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY)

struct stamped {
  atomic_int fd;       /* 0: free */
  atomic_bool unsure;  /* a send has failed: whether the kernel has counted it is not known, so both begin anew */
  uint32_t next;       /* pacer: the number that the next stamp gets (SOF_TIMESTAMPING_OPT_ID) */
  double planned[WINDOW];
};

static struct {
  atomic_uint off; /* of the counts; 0: nobody has asked for stamps */
  atomic_flag reading;
  struct stamped sockets[SOCKETS_MAX];
} stamps;

int32_t i405_stamps_open(void) {
  if (stamps.off == 0) {
    uint32_t off = i405_alloc(sizeof(struct i405_stamps));
    if (off == 0) return -ENOMEM;
    memset(shim_at(off), 0, sizeof(struct i405_stamps));
    atomic_store(&stamps.off, off);
  }
  return (int32_t)stamps.off;
}

bool shim_stamps_on(void) { return stamps.off != 0; }

static struct stamped *find(int fd) {
  for (int i = 0; i < SOCKETS_MAX; i++) {
    if (atomic_load_explicit(&stamps.sockets[i].fd, memory_order_acquire) == fd) return &stamps.sockets[i];
  }
  return NULL;
}

/* The kernel numbers from 0 whenever OPT_ID is switched on. */
static int begin(struct stamped *socket, int fd) {
  int off = REPORT, on = REPORT | SOF_TIMESTAMPING_OPT_ID;
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &off, sizeof off) != 0 ||
      setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &on, sizeof on) != 0) {
    return -errno;
  }
  socket->next = 0;
  for (uint32_t i = 0; i < WINDOW; i++) put_f64(&socket->planned[i], NAN);
  atomic_store(&socket->unsure, false);
  return 0;
}

void shim_stamps_socket(int fd) {
  struct stamped *socket = find(0);
  if (stamps.off == 0 || socket == NULL || begin(socket, fd) != 0) return;
  atomic_store_explicit(&socket->fd, fd, memory_order_release);
}

void shim_stamps_forget(int fd) {
  struct stamped *socket = stamps.off == 0 ? NULL : find(fd);
  if (socket != NULL) atomic_store(&socket->fd, 0);
}

size_t shim_stamps_ask(int fd, double planned, void *control) {
  struct stamped *socket = stamps.off == 0 ? NULL : find(fd);
  if (socket == NULL || atomic_load_explicit(&socket->unsure, memory_order_acquire)) return 0;
  put_f64(&socket->planned[socket->next++ % WINDOW], planned);
  const uint32_t wanted = SOF_TIMESTAMPING_TX_SOFTWARE;
  struct cmsghdr *head = control;
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SO_TIMESTAMPING;
  head->cmsg_len = CMSG_LEN(sizeof wanted);
  memcpy(CMSG_DATA(head), &wanted, sizeof wanted);
  return CMSG_SPACE(sizeof wanted);
}

void shim_stamps_failed(int fd) {
  struct stamped *socket = stamps.off == 0 ? NULL : find(fd);
  if (socket != NULL) atomic_store_explicit(&socket->unsure, true, memory_order_release);
}

static void count(struct i405_stamps *counts, double deviation) {
  bool first = counts->count == 0;
  uint32_t *bucket = &counts->hist[i405_hist_bucket((int64_t)deviation)];
  __atomic_store_n(bucket, *bucket + 1, __ATOMIC_RELAXED);
  put_f64(&counts->sum_ns, counts->sum_ns + deviation);
  put_f64(&counts->sum2, counts->sum2 + deviation * deviation);
  if (first || deviation > counts->max_ns) put_f64(&counts->max_ns, deviation);
  if (first || deviation < counts->min_ns) put_f64(&counts->min_ns, deviation);
  put_f64(&counts->count, counts->count + 1);
}

static void take(struct stamped *socket, struct msghdr *message, int64_t wall_base) {
  struct scm_timestamping stamp = {0};
  struct sock_extended_err number = {0};
  for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
    if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPING) {
      memcpy(&stamp, CMSG_DATA(head), sizeof stamp);
    } else if ((head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_RECVERR) ||
               (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_RECVERR)) {
      memcpy(&number, CMSG_DATA(head), sizeof number);
    }
  }
  if (number.ee_origin != SO_EE_ORIGIN_TIMESTAMPING || stamp.ts[0].tv_sec == 0) return;
  double *planned = &socket->planned[number.ee_data % WINDOW], slot = get_f64(planned);
  if (isnan(slot)) return;
  put_f64(planned, NAN); /* a burst's packets may each bring one: the first counts */
  int64_t at = (int64_t)stamp.ts[0].tv_sec * 1000000000 + stamp.ts[0].tv_nsec - wall_base;
  count(shim_at(stamps.off), (double)at - slot);
}

/* All that is there, in batches; whoever comes second leaves it to the first. */
void shim_stamps_read(int fd) {
  struct stamped *socket = stamps.off == 0 || fd < 0 ? NULL : find(fd);
  if (socket == NULL || atomic_flag_test_and_set(&stamps.reading)) return;
  struct mmsghdr messages[BATCH];
  _Alignas(struct cmsghdr) uint8_t control[BATCH][256];
  int64_t wall_base = 0;
  int got;
  do {
    for (int i = 0; i < BATCH; i++) {
      messages[i].msg_hdr = (struct msghdr){.msg_control = control[i], .msg_controllen = sizeof control[i]};
    }
    got = recvmmsg(fd, messages, BATCH, MSG_ERRQUEUE | MSG_DONTWAIT, NULL);
    if (got > 0 && wall_base == 0) wall_base = shim_wall_base();
    for (int i = 0; i < got; i++) take(socket, &messages[i].msg_hdr, wall_base);
  } while (got == BATCH);
  if (atomic_load(&socket->unsure)) begin(socket, fd);
  atomic_flag_clear(&stamps.reading);
}
