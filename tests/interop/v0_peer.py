"""A peer that speaks inner protocol version 0 as the deployed i405-tunnel 0.1.1 does, as client or server, with a TUN
device of its own. Whatever would have ended the deployed program ends this one, with a line "DIED: reason" and code 3.

    v0_peer.py server PORT OPTIONS      v0_peer.py client HOST:PORT OPTIONS
"""

import argparse
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time

from v0_dtls import Client, Dead, Reader, Server

MAGIC = 0x14051405
HANDSHAKE_DELAYS = [1, 2, 4, 8, 16]
OVERHEAD = 28 + 34
WAIT_MAX = 0.05


def say(text):
    print(text, flush=True)


def open_tun(name, address):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
    for command in (["address", "add", address, "dev", name], ["link", "set", name, "mtu", "1280", "up"]):
        subprocess.run(["ip", *command], check=True)
    return fd


class Fragments:
    """Puts packets together; fragments come in order, or the packet is lost."""

    def __init__(self):
        self.id, self.bytes = None, b""

    def first(self, ident, data):
        self.id, self.bytes = ident, data

    def more(self, ident, offset, data):
        if self.id != ident or offset != len(self.bytes):
            self.id = None
            return None
        self.bytes += data
        return self.bytes


class Peer:
    def __init__(self, options):
        self.options = options
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.tun = open_tun(options.tun, options.address)
        self.fragments = Fragments()
        self.queue, self.rest = [], None     # packets to send; (id, offset, packet) of a split one
        self.fragment_id = 0
        self.send_length = self.receive_length = None   # content of a data record
        self.open = False
        self.monitor = bool(options.monitor)
        self.send_at = self.sent = 0
        self.numbers, self.acks, self.statuses = set(), [], []
        self.got = {"records": 0, "packets": 0, "statuses": 0, "acks": 0, "lost": 0, "filled": 0}
        self.last_heard = time.monotonic()
        self.update_at = options.key_update

    # ---- inner messages ----

    def record(self, content):
        """One plaintext of the other side."""
        if self.receive_length is not None and len(content) != self.receive_length:
            raise Dead(f"a plaintext of {len(content)} bytes instead of {self.receive_length}")
        reader, kinds = Reader(content), []
        while not reader.empty:
            kind = reader.number(1)
            if kind == 0:
                if any(reader.take(len(content) - reader.at)):
                    raise Dead("padding that is not zeros")
                break
            kinds.append(kind)
            self.message(kind, reader)
        return kinds

    def message(self, kind, reader):
        if kind == 1:
            self.client_handshake(reader.take(62))
        elif kind == 2:
            self.server_handshake(reader.take(9))
        elif kind == 3:
            self.acked(reader.number(8), reader.number(8))
        elif kind == 4:
            self.number = reader.number(8)
        elif kind == 5:
            self.sent_ns = reader.number(8)
        elif kind == 6:
            self.status(reader.number(8), reader.number(8), reader.number(8))
        elif kind == 0x10:
            self.packet(reader.vector(2))
        elif kind == 0x11:
            self.fragments.first(reader.number(2), reader.vector(2))
        elif kind in (0x20, 0x21):
            ident, offset = reader.number(2), reader.number(2)
            whole = self.fragments.more(ident, offset, reader.vector(2))
            if kind == 0x21 and whole is not None:
                self.packet(whole)
        else:
            raise Dead(f"message type 0x{kind:02x}")

    def packet(self, packet):
        self.got["packets"] += 1
        if self.open:
            os.write(self.tun, packet)

    def data_record(self, content):
        self.number = self.sent_ns = None
        kinds = self.record(content)
        if kinds[:1] != [4] or kinds.count(4) != 1:
            raise Dead(f"a data record with messages {kinds}: not one sequence number, first")
        if kinds[1:2] != [5] if self.monitor else 5 in kinds:
            raise Dead(f"a data record with messages {kinds}: send time")
        order = [0 if k in (4, 5) else 1 if k == 3 else 2 if k == 6 else 3 for k in kinds]
        if order != sorted(order):
            raise Dead(f"a data record with messages {kinds}: out of order")
        if self.number in self.numbers:
            raise Dead(f"sequence number {self.number} twice")
        self.numbers.add(self.number)
        if self.monitor and abs(self.sent_ns - time.time_ns()) > 5e9:
            raise Dead(f"a send time {self.sent_ns} that is not now")
        if self.monitor and 6 in kinds:
            self.acks.append(self.number)
        self.got["records"] += 1

    def acked(self, first, last):
        if last < first or last >= self.sent:
            raise Dead(f"an ack of {first} to {last}, of {self.sent} that were sent")
        self.got["acks"] += last - first + 1

    # ---- data records of our own ----

    def build(self):
        """Number, time, acks, statuses, packets; the last packet is split."""
        out = b"\x04" + self.sent.to_bytes(8, "big")
        if self.monitor:
            out += b"\x05" + time.time_ns().to_bytes(8, "big")
        for number in self.acks[:8]:
            out += b"\x03" + number.to_bytes(8, "big") * 2
        del self.acks[:8]
        while self.statuses and len(out) + 25 <= self.send_length:
            out += b"\x06" + b"".join(value.to_bytes(8, "big") for value in self.statuses.pop(0))
        while (self.rest or self.queue) and len(out) + 48 <= self.send_length:
            out += self.next_piece(self.send_length - len(out))
        return out

    def next_piece(self, room):
        if self.rest is None:
            packet = self.queue.pop(0)
            if len(packet) + 3 <= room:
                return b"\x10" + struct.pack("!H", len(packet)) + packet
            self.fragment_id = self.fragment_id + 1 & 0xFFFF
            size = room - 5
            self.rest = self.fragment_id, size, packet
            return b"\x11" + struct.pack("!HH", self.fragment_id, size) + packet[:size]
        ident, offset, packet = self.rest
        size = min(room - 7, len(packet) - offset)
        last = offset + size == len(packet)
        self.rest = None if last else (ident, offset + size, packet)
        return (b"\x21" if last else b"\x20") + struct.pack("!HHH", ident, offset, size) + packet[offset:offset + size]

    def send_due(self, now):
        if not self.open or now < self.send_at:
            return
        self.dtls.data(self.build(), self.send_length)
        self.sent += 1
        low, high = self.interval
        self.send_at = max(now, self.send_at + low + (high - low) * int.from_bytes(os.urandom(4), "big") / 2**32)
        if self.update_at and self.sent >= self.update_at and self.dtls.update_pending is None:
            self.update_at += self.options.key_update
            self.dtls.key_update()
        elif self.dtls.update_pending is not None and self.sent % 50 == 0:
            self.dtls.repeat_update()

    def start_data(self, now):
        self.open, self.send_at, self.last_heard = True, now, now

    # ---- the loop ----

    def run(self):
        told = time.monotonic()
        while True:
            now = time.monotonic()
            self.send_due(now)
            self.tick(now)
            if now - told > 1:
                told = now
                self.report()
            wait = max(0, min(WAIT_MAX, self.send_at - now)) if self.open else WAIT_MAX
            readable = [self.sock, self.tun] if len(self.queue) < 64 else [self.sock]
            for ready in select.select(readable, [], [], wait)[0]:
                if ready is self.tun:
                    self.queue.append(os.read(self.tun, 2048))
                else:
                    self.datagrams()

    def report(self):
        stats = {**self.got, **(self.dtls.stats if self.dtls else {}), "sent": self.sent}
        say("stats " + " ".join(f"{name}={value}" for name, value in stats.items()))

    def datagrams(self):
        for _ in range(64):
            try:
                datagram, sender = self.sock.recvfrom(4096)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self.datagram(datagram, sender, time.monotonic())

    def deliver(self, datagram, now):
        for kind, content in list(self.dtls.receive(datagram, now)):
            if kind == "alert":
                self.alert(content)
                return
            self.last_heard = now
            self.content(content, now)

    def alert(self, content):
        if content != b"\x01\x00" and content != b"\x02\x00":
            raise Dead(f"alert {content.hex()}")
        say("closed by the peer")
        if self.options.once:
            sys.exit(0)
        self.ended()


class ServerPeer(Peer):
    def __init__(self, options):
        super().__init__(options)
        self.sock.bind(("0.0.0.0", int(options.where)))
        self.dtls, self.remote = None, None
        say("listening")

    def ended(self):
        self.report()
        self.dtls, self.remote, self.open = None, None, False

    def datagram(self, datagram, sender, now):
        if self.dtls is None:
            if datagram[0] != 22:
                return                        # wolfSSL drops what it has no keys for
            self.remote, self.handshaken = sender, None
            self.reset()
            self.dtls = Server(self.options.psk, lambda out: self.sock.sendto(out, self.remote),
                               {"retry": self.options.retry, "ack_epoch": self.options.ack_epoch})
            self.last_heard = now
        if sender != self.remote:
            return                            # one client at a time
        before = self.dtls.connected
        self.deliver(datagram, now)
        if self.dtls is not None and self.dtls.connected and not before:
            say(f"dtls connected identity={self.dtls.identity.hex() or 'empty'}")

    def reset(self):
        self.numbers, self.acks, self.statuses, self.sent, self.settled = set(), [], [], 0, 0
        self.send_length = self.receive_length = None
        self.update_at = self.options.key_update

    def content(self, content, now):
        if self.open:
            if content[0] == 1:
                return                        # a retransmission, which it logs
            self.data_record(content)
            if self.monitor:
                self.report_fates()
            return
        if content[0] == 1:
            if self.record(content) != [1]:
                raise Dead("other messages beside the client's handshake")
            self.dtls.data(b"\x02" + struct.pack("!IIB", MAGIC, 0, 1), self.send_length)
            return
        if self.handshaken is None:
            raise Dead("a data record before the client's handshake")
        self.receive_length = len(content)
        say("open")
        self.start_data(now)
        self.data_record(content)

    def report_fates(self):
        """Of the record that came, and of those that are 64 behind it and have not."""
        self.statuses.append((self.number, self.sent_ns, time.time_ns()))
        while self.settled < self.number - 64:
            if self.settled not in self.numbers:
                self.statuses.append((self.settled, 0, 0))
            self.settled += 1

    def client_handshake(self, body):
        fields = struct.unpack("!IIIIIHQQQQQ", body)
        if self.handshaken not in (None, body):
            raise Dead("two client handshakes that differ")
        magic, serdes, _version, oldest, flags, length, low, high, _c2s, finalize, timeout = fields
        if magic != MAGIC or serdes != 0 or oldest != 0:
            raise Dead(f"a client handshake of magic {magic:x}, versions {serdes}, {oldest}")
        if not 0 < low <= high or finalize >= low:
            raise Dead(f"intervals {low} to {high}, finalized {finalize} before")
        self.handshaken, self.monitor = body, bool(flags & 1)
        self.send_length, self.interval, self.timeout = length - OVERHEAD, (low / 1e9, high / 1e9), timeout / 1e9
        say(f"client handshake {' '.join(map(str, fields))}")

    def server_handshake(self, body):
        raise Dead("a server handshake from a client")

    def status(self, *fields):
        raise Dead("a packet status from a client")

    def tick(self, now):
        if self.dtls is None:
            return
        self.dtls.tick(now)
        if self.open and now - self.last_heard > self.timeout:
            say("timed out")
            self.ended()


class ClientPeer(Peer):
    def __init__(self, options):
        super().__init__(options)
        host, port = options.where.split(":")
        self.sock.connect((host, int(port)))
        self.interval = tuple(options.interval * factor / 1000 for factor in (0.75, 1.25))
        self.begin()

    def begin(self):
        self.open, self.repeats, self.say_at = False, 0, None
        self.numbers, self.acks, self.sent = set(), [], 0
        self.receive_length = self.options.s2c_length - OVERHEAD
        self.send_length = self.options.length - OVERHEAD
        self.dtls = Client(self.options.psk, self.send, {})
        self.dtls.start(time.monotonic())

    def send(self, datagram):
        try:
            self.sock.send(datagram)
        except ConnectionRefusedError:
            pass

    def ended(self):
        self.report()
        self.begin()

    def datagram(self, datagram, _sender, now):
        self.deliver(datagram, now)
        if self.dtls.connected and self.say_at is None:
            say("dtls connected")
            self.handshake(now)

    def handshake(self, now):
        low, high = (round(self.options.s2c_interval * factor * 1e6) for factor in (0.75, 1.25))
        c2s = round(self.options.interval * 0.75e6)
        self.dtls.data(b"\x01" + struct.pack("!IIIIIHQQQQQ", MAGIC, 0, 0, 0, int(self.monitor), self.options.s2c_length,
                                             low, high, c2s, 1000, round(self.options.timeout * 1e9)), self.send_length)
        self.say_at = now + HANDSHAKE_DELAYS[min(self.repeats, 4)]

    def content(self, content, now):
        if self.open:
            return None if content[0] == 2 else self.data_record(content)
        if self.record(content) != [2]:
            raise Dead("something else than the server's handshake, alone")
        say("open")
        self.start_data(now)

    def server_handshake(self, body):
        magic, version, success = struct.unpack("!IIB", body)
        if magic != MAGIC or version != 0 or success != 1:
            raise Dead(f"the server's handshake: version {version}, success {success}")

    def client_handshake(self, body):
        raise Dead("a client handshake from a server")

    def status(self, number, sent_ns, received_ns):
        if number >= self.sent:
            raise Dead(f"the status of packet {number}, of {self.sent} that were sent")
        if (sent_ns == 0) != (received_ns == 0) or abs(received_ns - sent_ns) > 5e9:
            raise Dead(f"a status with times {sent_ns} and {received_ns}")
        self.got["statuses"] += 1
        self.got["lost"] += sent_ns == 0

    def tick(self, now):
        self.dtls.tick(now)
        if self.say_at is not None and not self.open and now >= self.say_at:
            if self.repeats == len(HANDSHAKE_DELAYS):
                say("no answer, another DTLS handshake")
                return self.begin()
            self.repeats += 1
            self.handshake(now)
        if self.open and now - self.last_heard > self.options.timeout:
            say("timed out")
            self.begin()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("where")
    parser.add_argument("--password-file", required=True)
    parser.add_argument("--tun", default="v0peer")
    parser.add_argument("--address", required=True)
    parser.add_argument("--retry", choices=["none", "cookie", "x25519"], default="cookie")
    parser.add_argument("--ack-epoch", type=int, default=3)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--monitor", action="store_true")
    parser.add_argument("--key-update", type=int, default=0)
    parser.add_argument("--interval", type=float, default=4.0)
    parser.add_argument("--s2c-interval", type=float, default=4.0)
    parser.add_argument("--length", type=int, default=1400)
    parser.add_argument("--s2c-length", type=int, default=1400)
    parser.add_argument("--timeout", type=float, default=5.0)
    options = parser.parse_args()
    with open(options.password_file, "rb") as file:
        options.psk = file.read().split(b"\n")[0]
    peer = (ServerPeer if options.role == "server" else ClientPeer)(options)
    try:
        peer.run()
    except Dead as reason:
        peer.report()
        say(f"DIED: {reason}")
        sys.exit(3)
    except KeyboardInterrupt:
        if peer.dtls is not None:
            peer.dtls.close()
        say("goodbye")


if __name__ == "__main__":
    main()
