"""DTLS 1.3 (RFC 9147) as the deployed peer of version 0 speaks it: one suite, one PSK, no more. Strict: what does not fit
raises Dead, but for what RFC 9147 wants dropped."""

import os

from v0_crypto import AGREE, GENERATE, SECP256R1, X25519, Keys, Schedule, finished, sha256

ALERT, HANDSHAKE, APPLICATION, ACK = 21, 22, 23, 26
CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS, FINISHED, KEY_UPDATE = 1, 2, 8, 20, 24
RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
SUITE = 0x1301


class Dead(Exception):
    """The deployed peer would have ended here."""


def u16(value):
    return value.to_bytes(2, "big")


def vec8(data):
    return bytes([len(data)]) + data


def vec16(data):
    return u16(len(data)) + data


def extension(kind, data):
    return u16(kind) + vec16(data)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        if self.at + length > len(self.data):
            raise Dead("a truncated message")
        self.at += length
        return self.data[self.at - length:self.at]

    def number(self, length):
        return int.from_bytes(self.take(length), "big")

    def vector(self, length):
        return self.take(self.number(length))

    @property
    def empty(self):
        return self.at == len(self.data)


def extensions_of(data):
    found, reader = {}, Reader(data)
    while not reader.empty:
        kind = reader.number(2)
        if kind in found:
            raise Dead(f"extension {kind} twice")
        found[kind] = reader.vector(2)
    return found


class Endpoint:
    """One association. `send` is called with each datagram."""

    def __init__(self, psk, send, options):
        self.psk, self.send, self.options = psk, send, options
        self.transcript = b""
        self.plain_number = 0
        self.send_keys, self.receive_keys = {}, {}
        self.send_epoch, self.receive_epoch = 3, 3
        self.message_seq, self.next_seq = 0, 0
        self.flight, self.timer_s, self.resend_at = [], 1.0, None
        self.connected = False
        self.update_pending = None   # (number of the record, message) of a KeyUpdate without an ACK
        self.stats = {"replayed": 0, "unopened": 0, "updates": 0, "updated": 0, "early": 0}

    # ---- out ----

    def plain_record(self, content_type, content):
        number, self.plain_number = self.plain_number, self.plain_number + 1
        return bytes([content_type]) + b"\xfe\xfd" + bytes(2) + number.to_bytes(6, "big") + vec16(content)

    def message(self, kind, body):
        """With its DTLS header, whole; not in the transcript."""
        seq, self.message_seq = self.message_seq, self.message_seq + 1
        length = len(body).to_bytes(3, "big")
        return bytes([kind]) + length + u16(seq) + bytes(3) + length + body

    def add(self, kind, body):
        """To the transcript, in the form of TLS."""
        self.transcript += bytes([kind]) + len(body).to_bytes(3, "big") + body

    def hash(self, more=b""):
        return sha256(self.transcript + more)

    def start_flight(self, parts, now):
        """`parts`: (epoch, message), each a record of its own in a datagram of its own."""
        self.flight, self.timer_s = parts, 1.0
        self.repeat(now)

    def repeat(self, now):
        for epoch, message in self.flight:
            if epoch == 0:
                self.send(self.plain_record(HANDSHAKE, message))
            else:
                self.send(self.send_keys[epoch].seal(HANDSHAKE, message)[1])
        self.resend_at = now + self.timer_s

    def tick(self, now):
        if self.resend_at is not None and now >= self.resend_at:
            self.timer_s = min(60.0, 2 * self.timer_s)
            self.repeat(now)

    def ack(self, epoch, record):
        numbers = b"".join(n.to_bytes(8, "big") for n in record)
        self.send(self.send_keys[epoch].seal(ACK, vec16(numbers))[1])

    def data(self, content, length):
        self.send(self.send_keys[self.send_epoch].seal(APPLICATION, content.ljust(length, b"\0"))[1])

    def close(self):
        if self.connected:
            self.send(self.send_keys[self.send_epoch].seal(ALERT, b"\x01\x00")[1])

    def key_update(self):
        """update_not_requested; the new keys are used once it is acknowledged."""
        self.update_pending = self.message(KEY_UPDATE, b"\x00")
        self.repeat_update()

    def repeat_update(self):
        if self.update_pending is not None:
            self.send(self.send_keys[self.send_epoch].seal(HANDSHAKE, self.update_pending)[1])

    # ---- in ----

    def receive(self, datagram, now):
        """Yields ("data" or "alert", content) of epoch 3 and above."""
        at = 0
        while at < len(datagram):
            first = datagram[at]
            if first in (ALERT, HANDSHAKE, ACK):
                at = self.plaintext(datagram, at, now)
            elif first & 0xE0 == 0x20:
                header_len, seq_len, end = self.unified(datagram, at)
                yield from self.protected(first & 3, header_len, seq_len, datagram[at:end], now)
                at = end
            else:
                raise Dead(f"a record that begins with {first}")
            if at is None:
                return

    def unified(self, datagram, at):
        first = datagram[at]
        if first & 0x10:
            raise Dead("a connection id that nobody agreed on")
        seq_len = 2 if first & 8 else 1
        header_len = 1 + seq_len + (2 if first & 4 else 0)
        length = int.from_bytes(datagram[at + 1 + seq_len:at + header_len], "big") if first & 4 \
            else len(datagram) - at - header_len
        end = at + header_len + length
        if end > len(datagram):
            raise Dead("a record longer than its datagram")
        return header_len, seq_len, end

    def plaintext(self, datagram, at, now):
        if len(datagram) < at + 13:
            raise Dead("a plaintext record cut short")
        end = at + 13 + int.from_bytes(datagram[at + 11:at + 13], "big")
        if datagram[at] == HANDSHAKE and datagram[at + 3:at + 5] == bytes(2) and not self.connected:
            self.handshake(0, datagram[at + 13:end], None, now)
        return end

    def protected(self, bits, header_len, seq_len, record, now):
        epoch = next((e for e in (self.receive_epoch, self.receive_epoch - 1, 2) if e & 3 == bits), None)
        keys = self.receive_keys.get(epoch)
        opened = None if keys is None else keys.open(header_len, seq_len, record)
        if opened is None or opened == "replay":
            self.stats["replayed" if opened else "unopened"] += 1
            return
        number, inner = opened
        inner = inner.rstrip(b"\0")
        if not inner:
            raise Dead("a record of zeros alone")
        content_type, content = inner[-1], inner[:-1]
        if content_type == HANDSHAKE:
            self.handshake(epoch, content, (epoch, number), now)
        elif content_type == ACK:
            self.acknowledged(content, now)
        elif content_type == ALERT:
            yield "alert", content
        elif content_type == APPLICATION and epoch >= 3:
            if not self.connected:
                self.stats["early"] += 1
                return
            yield "data", content
        else:
            raise Dead(f"content type {content_type} in epoch {epoch}")

    def handshake(self, epoch, content, record, now):
        reader = Reader(content)
        while not reader.empty:
            kind, length, seq = reader.number(1), reader.number(3), reader.number(2)
            offset, fragment_len = reader.number(3), reader.number(3)
            body = reader.take(fragment_len)
            if offset != 0 or fragment_len != length:
                raise Dead("a fragmented handshake message")
            if epoch >= 3:
                self.after_handshake(kind, seq, body, record)
            elif seq == self.next_seq:
                self.next_seq += 1
                self.handle(epoch, kind, body, record, now)
            else:
                self.repeated(epoch, record, now)

    def after_handshake(self, kind, seq, body, record):
        if kind != KEY_UPDATE or len(body) != 1:
            raise Dead(f"handshake message {kind} after the handshake")
        if body != b"\x00":
            raise Dead("a KeyUpdate with update_requested")
        if seq == self.next_seq:
            self.next_seq += 1
            self.receive_epoch += 1
            self.receive_keys[self.receive_epoch] = self.receive_keys[self.receive_epoch - 1].updated()
            self.stats["updated"] += 1
        self.ack(self.send_epoch, record)

    def acknowledged(self, content, now):
        reader = Reader(content)
        list_of = Reader(reader.vector(2))
        numbers = []
        while not list_of.empty:
            numbers.append((list_of.number(8), list_of.number(8)))
        for epoch, number in numbers:
            if epoch != 0 and (epoch not in self.send_keys or number >= self.send_keys[epoch].next_number):
                raise Dead(f"an ACK of record {number} of epoch {epoch}, which was not sent")
        if self.update_pending is not None and any(epoch == self.send_epoch for epoch, _ in numbers):
            self.update_pending = None
            self.send_keys[self.send_epoch + 1] = self.send_keys[self.send_epoch].updated()
            self.send_epoch += 1
            self.stats["updates"] += 1
        self.was_acked(numbers, now)

    def was_acked(self, numbers, now):
        pass

    def repeated(self, epoch, record, now):
        pass

    def install(self, epoch, send, receive):
        self.send_keys[epoch], self.receive_keys[epoch] = Keys(send, epoch), Keys(receive, epoch)


class Server(Endpoint):
    """options: retry = none, cookie or x25519; ack_epoch = 2 or 3."""

    def __init__(self, psk, send, options):
        super().__init__(psk, send, options)
        self.cookie = None

    def handle(self, epoch, kind, body, record, now):
        if kind == CLIENT_HELLO and epoch == 0:
            self.hello(body, now)
        elif kind == FINISHED and epoch == 2:
            if body != finished(self.client_secret, self.hash()):
                raise Dead("a wrong Finished")
            self.resend_at, self.connected = None, True
            self.ack(self.options["ack_epoch"], record)
        else:
            raise Dead(f"handshake message {kind} in epoch {epoch}")

    def repeated(self, epoch, record, now):
        if epoch == 2 and self.connected:
            self.ack(self.options["ack_epoch"], record)

    def hello(self, body, now):
        reader = Reader(body)
        if reader.take(2) != b"\xfe\xfd":
            raise Dead("legacy_version")
        reader.take(32)
        session_id, legacy_cookie, suites = reader.vector(1), reader.vector(1), reader.vector(2)
        if legacy_cookie or reader.vector(1) != b"\0":
            raise Dead("legacy_cookie or compression")
        found = extensions_of(reader.vector(2))
        if not reader.empty or list(found)[-1] != 41:
            raise Dead("pre_shared_key is not the last extension")
        if u16(SUITE) not in [suites[i:i + 2] for i in range(0, len(suites), 2)]:
            raise Dead("no TLS_AES_128_GCM_SHA256")
        if b"\xfe\xfc" not in found[43] or 1 not in found[45][1:]:
            raise Dead("no DTLS 1.3 or no psk_dhe_ke")
        shares, list_of = {}, Reader(Reader(found[51]).vector(2))
        while not list_of.empty:
            group = list_of.number(2)
            shares[group] = list_of.vector(2)
        group = X25519 if self.options["retry"] == "x25519" else SECP256R1
        if self.options["retry"] != "none" and self.cookie is None:
            return self.retry(body, session_id, group, shares, now)
        if self.cookie is not None and Reader(found[44]).vector(2) != self.cookie:
            raise Dead("another cookie")
        if group not in shares:
            raise Dead(f"no share of group {group}: a hello without a cookie must bring one")
        self.answer(body, session_id, group, shares[group], now)

    def retry(self, body, session_id, group, shares, now):
        self.transcript = b"\xfe\0\0\x20" + sha256(b"\x01" + len(body).to_bytes(3, "big") + body)
        self.cookie = os.urandom(20)
        parts = extension(43, b"\xfe\xfc")
        if group not in shares:
            parts += extension(51, u16(group))
        parts += extension(44, vec16(self.cookie))
        hello = b"\xfe\xfd" + RETRY_RANDOM + vec8(session_id) + u16(SUITE) + b"\0" + vec16(parts)
        self.add(SERVER_HELLO, hello)
        self.flight = []
        self.send(self.plain_record(HANDSHAKE, self.message(SERVER_HELLO, hello)))

    def answer(self, body, session_id, group, share, now):
        offered = Reader(extensions_of(self.extensions_in(body))[41])
        identity = Reader(offered.vector(2)).vector(2)
        binder = Reader(offered.vector(2)).vector(1)
        schedule = Schedule(self.psk)
        message = b"\x01" + len(body).to_bytes(3, "big") + body
        if binder != schedule.binder(self.hash(message[:-(len(binder) + 3)])):
            raise Dead("a wrong binder: another password")
        self.identity = identity
        private, own = GENERATE[group]()
        self.add(CLIENT_HELLO, body)
        parts = extension(43, b"\xfe\xfc") + extension(51, u16(group) + vec16(own)) + extension(41, u16(0))
        # Against RFC 9147 section 5.3: this one echoes whatever it gets.
        hello = b"\xfe\xfd" + os.urandom(32) + vec8(session_id) + u16(SUITE) + b"\0" + vec16(parts)
        self.add(SERVER_HELLO, hello)
        schedule.mix(AGREE[group](private, share))
        self.client_secret = schedule.derive(b"c hs traffic", self.hash())
        server_secret = schedule.derive(b"s hs traffic", self.hash())
        self.install(2, server_secret, self.client_secret)
        self.add(ENCRYPTED_EXTENSIONS, bytes(2))
        verify = finished(server_secret, self.hash())
        self.add(FINISHED, verify)
        schedule.mix(bytes(32))
        server, client = (schedule.derive(label, self.hash()) for label in (b"s ap traffic", b"c ap traffic"))
        self.install(3, server, client)
        self.start_flight([(0, self.message(SERVER_HELLO, hello)),
                           (2, self.message(ENCRYPTED_EXTENSIONS, bytes(2))),
                           (2, self.message(FINISHED, verify))], now)

    @staticmethod
    def extensions_in(body):
        reader = Reader(body)
        reader.take(34)
        reader.vector(1), reader.vector(1), reader.vector(2), reader.vector(1)
        return reader.vector(2)


class Client(Endpoint):
    """As the deployed one: psk_ke and psk_dhe_ke, a secp256r1 share, a session id that must come back."""

    def start(self, now):
        self.random, self.session_id = os.urandom(32), os.urandom(32)
        self.group = SECP256R1
        self.private, self.share = GENERATE[self.group]()
        self.retried = False
        self.offer(b"", now)

    def offer(self, cookie, now):
        parts = extension(44, vec16(cookie)) if cookie else b""
        parts += extension(43, vec8(b"\xfe\xfc")) + extension(45, vec8(b"\0\1"))
        parts += extension(10, vec16(u16(SECP256R1) + u16(X25519)))
        parts += extension(51, vec16(u16(self.group) + vec16(self.share)))
        psk = vec16(vec16(b"") + bytes(4)) + vec16(vec8(bytes(32)))
        parts += extension(41, psk)
        body = b"\xfe\xfd" + self.random + vec8(self.session_id) + b"\0" + vec16(u16(SUITE)) + b"\1\0" + vec16(parts)
        message = b"\x01" + len(body).to_bytes(3, "big") + body
        self.schedule = Schedule(self.psk)
        body = body[:-32] + self.schedule.binder(self.hash(message[:-35]))
        self.add(CLIENT_HELLO, body)
        self.start_flight([(0, self.message(CLIENT_HELLO, body))], now)

    def handle(self, epoch, kind, body, record, now):
        if kind == SERVER_HELLO and epoch == 0:
            self.hello(body, now)
        elif kind == ENCRYPTED_EXTENSIONS and epoch == 2:
            if body != bytes(2):
                raise Dead("extensions that nobody asked for")
            self.add(kind, body)
        elif kind == FINISHED and epoch == 2:
            self.server_finished(body, now)
        else:
            raise Dead(f"handshake message {kind} in epoch {epoch}")

    def repeated(self, epoch, record, now):
        if epoch == 2 and self.flight and not self.connected:
            self.ack(2, record)

    def hello(self, body, now):
        reader = Reader(body)
        version, random, session_id = reader.take(2), reader.take(32), reader.vector(1)
        suite, compression = reader.number(2), reader.number(1)
        found = extensions_of(reader.vector(2))
        if version != b"\xfe\xfd" or suite != SUITE or compression != 0 or found[43] != b"\xfe\xfc":
            raise Dead("a ServerHello that does not fit")
        if session_id != self.session_id:
            raise Dead("the session id does not come back")
        if random == RETRY_RANDOM:
            return self.retry(body, found, now)
        share = Reader(found[51])
        if share.number(2) != self.group or found.get(41) != bytes(2):
            raise Dead("another group, or no PSK")
        self.add(SERVER_HELLO, body)
        self.schedule.mix(AGREE[self.group](self.private, share.vector(2)))
        self.server_secret = self.schedule.derive(b"s hs traffic", self.hash())
        self.client_secret = self.schedule.derive(b"c hs traffic", self.hash())
        self.install(2, self.client_secret, self.server_secret)
        self.resend_at = None

    def retry(self, body, found, now):
        if self.retried:
            raise Dead("a second HelloRetryRequest")
        self.retried = True
        self.transcript = b"\xfe\0\0\x20" + sha256(self.transcript)
        self.add(SERVER_HELLO, body)
        if 51 in found:
            self.group = int.from_bytes(found[51], "big")
            self.private, self.share = GENERATE[self.group]()
        self.offer(Reader(found[44]).vector(2), now)

    def server_finished(self, body, now):
        if body != finished(self.server_secret, self.hash()):
            raise Dead("a wrong Finished")
        self.add(FINISHED, body)
        verify = finished(self.client_secret, self.hash())
        self.schedule.mix(bytes(32))
        client, server = (self.schedule.derive(label, self.hash()) for label in (b"c ap traffic", b"s ap traffic"))
        self.install(3, client, server)
        self.start_flight([(2, self.message(FINISHED, verify))], now)

    def was_acked(self, numbers, now):
        if not self.connected and 3 in self.send_keys and any(epoch == 2 for epoch, _ in numbers):
            self.connected, self.resend_at, self.flight = True, None, []
