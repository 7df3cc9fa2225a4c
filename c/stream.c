/* What comes over TCP, for the data Worker's loop: 1 sockets that have something, by epoll · 2 their bytes into a buffer
 * for each · 3 the TLS records in it, one descriptor each. A socket in flow is always drained: its window tells nobody
 * how fast streams are read. One that is stepped gives one record at a time, for handshakes. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define STREAM_MAX 4096
#define EVENTS_PER_POLL 64
#define BUFFER_LEN 16384u
#define HEADER_LEN 5u

struct stream {
  int32_t fd;    /* -1: free */
  int32_t id;    /* TypeScript's */
  uint32_t mode; /* I405_STREAM_... */
  bool ended;
  uint32_t buffer; /* arena offset; 0: listening or connecting */
  uint32_t start, end; /* bytes of the buffer that have not been handed out */
  int32_t more;  /* next in the list of streams with a record left over; -1: last, -2: not in it */
  int32_t clamp; /* of the window */
  uint32_t reads; /* in flow */
  uint32_t turn; /* in which records were handed out last: until the next one they stay where they are */
};

/* The Worker's alone: no lock. */
static struct {
  int epoll;
  bool open;
  struct stream table[STREAM_MAX];
  int32_t more; /* first of the list */
  uint32_t turn;
} streams;

static uint32_t interest(uint32_t mode) {
  if (mode == I405_STREAM_CONNECTING) return EPOLLOUT;
  return mode == I405_STREAM_PAUSED ? 0 : EPOLLIN;
}

static int watch(struct stream *stream, int operation) {
  struct epoll_event event = {.events = interest(stream->mode), .data.u32 = (uint32_t)(stream - streams.table)};
  return epoll_ctl(streams.epoll, operation, stream->fd, &event) != 0 ? -errno : 0;
}

static struct stream *find(int32_t fd) {
  for (uint32_t i = 0; streams.open && fd >= 0 && i < STREAM_MAX; i++) {
    if (streams.table[i].fd == fd) return &streams.table[i];
  }
  return NULL;
}

int32_t i405_streams_open(void) {
  if (streams.open) return streams.epoll;
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return -errno;
  for (uint32_t i = 0; i < STREAM_MAX; i++) streams.table[i].fd = -1;
  streams.epoll = fd;
  streams.more = -1;
  streams.open = true;
  return fd;
}

static bool needs_buffer(uint32_t mode) { return mode != I405_STREAM_LISTENING && mode != I405_STREAM_CONNECTING; }

static bool ensure_buffer(struct stream *stream) {
  if (stream->buffer == 0) stream->buffer = i405_alloc(BUFFER_LEN);
  return stream->buffer != 0;
}

int32_t i405_stream_add(int32_t fd, int32_t id, uint32_t mode) {
  if (!streams.open || fd < 0 || id < 0 || mode > I405_STREAM_LISTENING) return -EINVAL;
  if (find(fd) != NULL) return -EEXIST;
  struct stream *stream = streams.table;
  while (stream < streams.table + STREAM_MAX && stream->fd >= 0) stream++;
  if (stream == streams.table + STREAM_MAX) return -ENOSPC;
  *stream = (struct stream){.fd = fd, .id = id, .mode = mode, .more = -2};
  int result = needs_buffer(mode) && !ensure_buffer(stream) ? -ENOMEM : watch(stream, EPOLL_CTL_ADD);
  if (result != 0) {
    if (stream->buffer != 0) i405_free(stream->buffer, BUFFER_LEN);
    stream->fd = -1;
  }
  return result;
}

static void list_more(struct stream *stream) {
  if (stream->more != -2) return;
  stream->more = streams.more;
  streams.more = (int32_t)(stream - streams.table);
}

static void unlist(struct stream *stream) {
  if (stream->more == -2) return;
  int32_t *at = &streams.more, index = (int32_t)(stream - streams.table);
  while (*at != index) at = &streams.table[*at].more;
  *at = stream->more;
  stream->more = -2;
}

int32_t i405_stream_mode(int32_t fd, uint32_t mode) {
  struct stream *stream = find(fd);
  if (stream == NULL || !needs_buffer(mode) || mode > I405_STREAM_LISTENING || !ensure_buffer(stream)) return -EINVAL;
  bool changes = interest(mode) != interest(stream->mode);
  stream->mode = mode;
  if (mode != I405_STREAM_PAUSED && stream->end > stream->start) list_more(stream);
  return stream->ended || !changes ? 0 : watch(stream, EPOLL_CTL_MOD);
}

int32_t i405_stream_remove(int32_t fd) {
  struct stream *stream = find(fd);
  if (stream == NULL) return -EINVAL;
  unlist(stream);
  if (!stream->ended) epoll_ctl(streams.epoll, EPOLL_CTL_DEL, fd, NULL);
  if (stream->buffer != 0) i405_free(stream->buffer, BUFFER_LEN);
  stream->fd = -1;
  return 0;
}

/* ---- reading ---- */

static void tell(struct i405_io *io, const struct stream *stream, uint32_t kind, uint32_t off, uint32_t len) {
  struct i405_rx *rx = (struct i405_rx *)shim_at(io->rx_descs) + io->rx_count++;
  memset(rx, 0, sizeof *rx);
  rx->off = off;
  rx->len = len;
  rx->peer = stream->id;
  rx->flags = I405_RX_STREAM | kind << 4;
  rx->time_ns = (double)shim_now();
}

/* The end is told once; from then on nothing is waited for here. */
static void tell_end(struct i405_io *io, struct stream *stream, uint32_t kind, int error) {
  stream->ended = true;
  epoll_ctl(streams.epoll, EPOLL_CTL_DEL, stream->fd, NULL);
  tell(io, stream, kind, 0, (uint32_t)error);
}

static void pause_after_step(struct stream *stream) {
  if (stream->mode != I405_STREAM_STEP) return;
  stream->mode = I405_STREAM_PAUSED;
  if (!stream->ended) watch(stream, EPOLL_CTL_MOD);
}

/* Hands out whole records of the buffer. True if one may be left over for want of room. */
static bool cut_records(struct i405_io *io, struct stream *stream) {
  while (stream->mode != I405_STREAM_PAUSED) {
    const uint8_t *at = (const uint8_t *)shim_at(stream->buffer) + stream->start;
    uint32_t have = stream->end - stream->start;
    if (have < HEADER_LEN) return false;
    uint32_t len = HEADER_LEN + (uint32_t)(at[3] << 8 | at[4]);
    bool sound = len <= I405_RX_STRIDE && at[1] == 3;
    if (sound && have < len) return false;
    if (io->rx_count >= io->rx_max) return true;
    if (!sound) {
      if (!stream->ended) tell_end(io, stream, I405_STREAM_MALFORMED, 0);
      stream->start = stream->end = 0;
      return false;
    }
    tell(io, stream, I405_STREAM_RECORD, stream->buffer + stream->start, len);
    stream->start += len;
    stream->turn = streams.turn;
    pause_after_step(stream);
  }
  return false;
}

#define STEADY_READS 32u /* the window is looked after so often */

/* One read: what a slow moment has left comes in the next turn. */
static void read_stream(struct i405_io *io, struct stream *stream) {
  uint8_t *buffer = shim_at(stream->buffer);
  memmove(buffer, buffer + stream->start, stream->end - stream->start);
  stream->end -= stream->start;
  stream->start = 0;
  if (stream->mode == I405_STREAM_FLOW && stream->reads++ % STEADY_READS == 0) {
    shim_tcp_steady_window(stream->fd, &stream->clamp);
  }
  ssize_t got = recv(stream->fd, buffer + stream->end, BUFFER_LEN - stream->end, MSG_DONTWAIT);
  if (got > 0) {
    stream->end += (uint32_t)got;
    if (cut_records(io, stream)) list_more(stream);
  } else if (got == 0) {
    tell_end(io, stream, I405_STREAM_ENDED, 0);
  } else if (errno != EAGAIN && errno != EINTR) {
    tell_end(io, stream, I405_STREAM_ENDED, errno);
  }
}

static void finish_connect(struct i405_io *io, struct stream *stream) {
  int error = 0;
  socklen_t len = sizeof error;
  if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
  if (error != 0) return tell_end(io, stream, I405_STREAM_ENDED, error);
  stream->mode = I405_STREAM_PAUSED;
  watch(stream, EPOLL_CTL_MOD);
  tell(io, stream, I405_STREAM_CONNECTED, 0, 0);
}

static void handle(struct i405_io *io, struct stream *stream, uint32_t events) {
  if (stream->mode == I405_STREAM_LISTENING) {
    tell(io, stream, I405_STREAM_ACCEPT, 0, 0);
  } else if (stream->mode == I405_STREAM_CONNECTING) {
    finish_connect(io, stream);
  } else if (stream->mode != I405_STREAM_PAUSED) {
    read_stream(io, stream);
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    tell_end(io, stream, I405_STREAM_ENDED, ECONNRESET); /* while nobody reads: a handshake is under way */
  }
}

/* Records left over from before, as long as there is room. */
static void cut_more(struct i405_io *io) {
  int32_t first = streams.more;
  streams.more = -1;
  while (first >= 0) {
    struct stream *stream = &streams.table[first];
    first = stream->more;
    stream->more = -2;
    if (cut_records(io, stream)) list_more(stream);
  }
}

void shim_streams_read(struct i405_io *io) {
  if (!streams.open || io->epoll_fd != streams.epoll) return;
  streams.turn++;
  cut_more(io);
  uint32_t room = io->rx_max - io->rx_count;
  if (room == 0) return;
  struct epoll_event events[EVENTS_PER_POLL];
  int count = epoll_wait(streams.epoll, events, (int)(room < EVENTS_PER_POLL ? room : EVENTS_PER_POLL), 0);
  for (int i = 0; i < count && io->rx_count < io->rx_max; i++) {
    struct stream *stream = &streams.table[events[i].data.u32];
    if (stream->fd >= 0 && stream->turn != streams.turn) handle(io, stream, events[i].events);
  }
}
