/* The machine: small files, thread settings, CPUs; and the layouts that tests compare with TypeScript's. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The path at offset `path`, with its end inside the arena, where `len` bytes at `off` lie inside it, too; NULL and
 * `*error`, -errno, otherwise. */
static const char *path_beside(uint32_t path, uint32_t off, uint32_t len, int *error) {
  *error = shim_check(path, 1, 1);
  if (*error == 0) *error = shim_check(off, len, 1);
  if (*error != 0) return NULL;
  const char *name = shim_at(path);
  if (memchr(name, 0, shim_arena.len - path) != NULL) return name;
  *error = -EINVAL;
  return NULL;
}

int32_t i405_read_file(uint32_t path, uint32_t out, uint32_t cap) {
  int error;
  const char *name = path_beside(path, out, cap, &error);
  if (name == NULL) return error;
  int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -errno;
  uint32_t len = 0;
  ssize_t got = 0;
  while (len < cap && (got = read(fd, (uint8_t *)shim_at(out) + len, cap - len)) > 0) len += (uint32_t)got;
  int32_t result = got < 0 ? -errno : (int32_t)len;
  close(fd);
  return result;
}

int32_t i405_write_file(uint32_t path, uint32_t off, uint32_t len) {
  int error;
  const char *name = path_beside(path, off, len, &error);
  if (name == NULL) return error;
  int fd = open(name, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -errno;
  ssize_t written = write(fd, shim_at(off), len);
  int32_t result = written < 0 ? -errno : written == (ssize_t)len ? 0 : -EIO;
  close(fd);
  return result;
}

int32_t i405_read_link(uint32_t path, uint32_t out, uint32_t cap) {
  int error;
  const char *name = path_beside(path, out, cap, &error);
  if (name == NULL) return error;
  ssize_t len = readlink(name, shim_at(out), cap);
  return len < 0 ? -errno : (int32_t)len;
}

int32_t i405_read_secret(uint32_t path, uint32_t out, uint32_t cap, uint32_t info) {
  int error;
  const char *name = path_beside(path, out, cap, &error);
  if (name == NULL) return error;
  error = shim_check(info, sizeof(struct i405_file_info), 4);
  if (error != 0) return error;
  int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (fd < 0) return -errno;
  struct stat status;
  uint32_t len = 0;
  ssize_t got = 0;
  int32_t result = -EIO;
  if (fstat(fd, &status) != 0) goto cleanup;
  *(struct i405_file_info *)shim_at(info) =
    (struct i405_file_info){.regular = S_ISREG(status.st_mode), .mode = status.st_mode & 07777, .uid = status.st_uid};
  if (S_ISREG(status.st_mode)) {
    while (len < cap && (got = read(fd, (uint8_t *)shim_at(out) + len, cap - len)) > 0) len += (uint32_t)got;
  }
  result = got < 0 ? -errno : (int32_t)len;
cleanup:
  close(fd);
  return result;
}

int32_t i405_set_dumpable(int32_t on) { return prctl(PR_SET_DUMPABLE, on != 0, 0, 0, 0) != 0 ? -errno : 0; }

/* All three are tried; the first failure is returned. */
int32_t i405_thread_setup(int32_t nice, int32_t cpu_not) {
  int32_t result = 0;
  if (prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0) != 0) result = -errno;
  if (setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), nice) != 0 && result == 0) result = -errno;
  if (cpu_not >= 0 && cpu_not < CPU_SETSIZE) {
    cpu_set_t set = shim_arena.allowed;
    CPU_CLR((size_t)cpu_not, &set);
    if (CPU_COUNT(&set) > 0 && sched_setaffinity(0, sizeof set, &set) != 0 && result == 0) result = -errno;
  }
  return result;
}

int32_t i405_hold_latency(void) {
  int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const int32_t none = 0;
  if (write(fd, &none, sizeof none) == (ssize_t)sizeof none) return fd;
  int32_t result = -errno;
  close(fd);
  return result;
}

int32_t i405_cpu_count(void) { return CPU_COUNT(&shim_arena.allowed); }

#define FIELD(type, field) (int32_t) offsetof(struct type, field)
static const int32_t layout[] = {
  sizeof(struct i405_key_material), FIELD(i405_key_material, suite), FIELD(i405_key_material, key),
  FIELD(i405_key_material, iv), FIELD(i405_key_material, sn),

  sizeof(struct i405_record), FIELD(i405_record, src), FIELD(i405_record, len), FIELD(i405_record, hdr_len),
  FIELD(i405_record, seq_off), FIELD(i405_record, seq_len), FIELD(i405_record, key), FIELD(i405_record, seq_lo),
  FIELD(i405_record, seq_hi), FIELD(i405_record, dst), FIELD(i405_record, result),

  sizeof(struct i405_addr), FIELD(i405_addr, family), FIELD(i405_addr, port), FIELD(i405_addr, scope),
  FIELD(i405_addr, ip),

  sizeof(struct i405_rx), FIELD(i405_rx, off), FIELD(i405_rx, len), FIELD(i405_rx, peer), FIELD(i405_rx, flags),
  FIELD(i405_rx, from), FIELD(i405_rx, to), FIELD(i405_rx, time_ns),

  sizeof(struct i405_io), FIELD(i405_io, udp_fd[0]), FIELD(i405_io, udp_fd[1]), FIELD(i405_io, tun_fd),
  FIELD(i405_io, event_fd), FIELD(i405_io, rx_max), FIELD(i405_io, tun_max), FIELD(i405_io, rx_descs),
  FIELD(i405_io, rx_cap), FIELD(i405_io, tun_descs), FIELD(i405_io, tun_cap),
  FIELD(i405_io, tun_bufs), FIELD(i405_io, epoll_fd), FIELD(i405_io, timeout_ns), FIELD(i405_io, rx_count), FIELD(i405_io, tun_count),
  FIELD(i405_io, event), FIELD(i405_io, rx_errors), FIELD(i405_io, now_ns), FIELD(i405_io, tun_dropped),
  FIELD(i405_io, tun_errors), FIELD(i405_io, tun_whole), FIELD(i405_io, rx_whole),

  sizeof(struct i405_tcp_state), FIELD(i405_tcp_state, mss), FIELD(i405_tcp_state, timestamps),
  FIELD(i405_tcp_state, sack), FIELD(i405_tcp_state, rtt_us), FIELD(i405_tcp_state, window),
  FIELD(i405_tcp_state, retransmits), FIELD(i405_tcp_state, unacked), FIELD(i405_tcp_state, unsent),

  sizeof(struct i405_pacer_config), FIELD(i405_pacer_config, poll_mode), FIELD(i405_pacer_config, fifo),
  FIELD(i405_pacer_config, cpu), FIELD(i405_pacer_config, calibrate_ms), FIELD(i405_pacer_config, lead_ns),
  FIELD(i405_pacer_config, lead_max_ns),

  sizeof(struct i405_pacer_state), FIELD(i405_pacer_state, running), FIELD(i405_pacer_state, flags),
  FIELD(i405_pacer_state, cpu), FIELD(i405_pacer_state, tid), FIELD(i405_pacer_state, lead_ns),
  FIELD(i405_pacer_state, wake_p50_ns), FIELD(i405_pacer_state, wake_p99_ns), FIELD(i405_pacer_state, wake_p999_ns),
  FIELD(i405_pacer_state, stall_max_ns), FIELD(i405_pacer_state, stalls),

  sizeof(struct i405_ring_config), FIELD(i405_ring_config, fd), FIELD(i405_ring_config, datagram_len),
  FIELD(i405_ring_config, hdr_len), FIELD(i405_ring_config, seq_off), FIELD(i405_ring_config, seq_len),
  FIELD(i405_ring_config, burst), FIELD(i405_ring_config, buf_count), FIELD(i405_ring_config, times_count),
  FIELD(i405_ring_config, trace_count), FIELD(i405_ring_config, count_off), FIELD(i405_ring_config, interval_ns),
  FIELD(i405_ring_config, wall_base_ns), FIELD(i405_ring_config, time_off), FIELD(i405_ring_config, stream),
  FIELD(i405_ring_config, to),
  FIELD(i405_ring_config, from),

  sizeof(struct i405_ring), FIELD(i405_ring, bufs), FIELD(i405_ring, buf_stride), FIELD(i405_ring, buf_count),
  FIELD(i405_ring, plaintext_len), FIELD(i405_ring, times), FIELD(i405_ring, times_count), FIELD(i405_ring, trace),
  FIELD(i405_ring, trace_count), FIELD(i405_ring, chaff), FIELD(i405_ring, taken), FIELD(i405_ring, running),
  FIELD(i405_ring, switches), FIELD(i405_ring, slots), FIELD(i405_ring, records), FIELD(i405_ring, data_records),
  FIELD(i405_ring, skipped), FIELD(i405_ring, late), FIELD(i405_ring, send_errors), FIELD(i405_ring, dry),
  FIELD(i405_ring, keyless), FIELD(i405_ring, slot_next), FIELD(i405_ring, slot_next_ns), FIELD(i405_ring, seq_next),
  FIELD(i405_ring, dev_sum_ns), FIELD(i405_ring, dev_sum2), FIELD(i405_ring, dev_max_ns),
  FIELD(i405_ring, dev_min_ns), FIELD(i405_ring, times_end), FIELD(i405_ring, socket_full),
  FIELD(i405_ring, short_writes), FIELD(i405_ring, aside), FIELD(i405_ring, update), FIELD(i405_ring, broken), FIELD(i405_ring, hist),

  sizeof(struct i405_trace), FIELD(i405_trace, slot), FIELD(i405_trace, planned_ns), FIELD(i405_trace, actual_ns),
  FIELD(i405_trace, data_records), FIELD(i405_trace, flags),

  sizeof(struct i405_stamps), FIELD(i405_stamps, count), FIELD(i405_stamps, sum_ns), FIELD(i405_stamps, sum2),
  FIELD(i405_stamps, max_ns), FIELD(i405_stamps, min_ns), FIELD(i405_stamps, hist),

  sizeof(struct i405_file_info), FIELD(i405_file_info, regular), FIELD(i405_file_info, mode),
  FIELD(i405_file_info, uid),

  sizeof(struct i405_seen), FIELD(i405_seen, time_ns), FIELD(i405_seen, len), FIELD(i405_seen, direction),
  FIELD(i405_seen, head),
};

int32_t i405_layout(uint32_t index) {
  return index < sizeof layout / sizeof layout[0] ? layout[index] : -1;
}
