"""A UDP client of a SOCKS5 proxy (RFC 1928 section 7), written apart from the program under test.

socks_udp.py PROXY_HOST PROXY_PORT HOST PORT COUNT LEN: sends COUNT datagrams of LEN bytes to an echo server, one after the
other, and prints how many came back whole; the last line says whether the association ended with its connection."""
import os
import socket
import struct
import sys
import time

proxy_host, proxy_port, host, port, count, length = sys.argv[1], *map(str, sys.argv[2:])
port, count, length = int(port), int(count), int(length)

control = socket.create_connection((proxy_host, int(proxy_port)), 10)
control.sendall(b"\x05\x01\x00")
assert control.recv(2) == b"\x05\x00"
control.sendall(b"\x05\x03\x00\x01" + bytes(6))
reply = control.recv(10)
assert reply[:4] == b"\x05\x00\x00\x01", reply
relay = (socket.inet_ntoa(reply[4:8]), struct.unpack("!H", reply[8:])[0])

name = host.encode()
head = b"\x00\x00\x00\x03" + bytes([len(name)]) + name + struct.pack("!H", port)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(5)
whole = 0
for _ in range(count):
    data = os.urandom(length)
    udp.sendto(head + data, relay)
    answer, sender = udp.recvfrom(65535)
    assert sender == relay and answer[:4] == b"\x00\x00\x00\x01"
    whole += answer[10:] == data
print(f"whole {whole}")

control.close()
time.sleep(0.5)
udp.settimeout(2)
udp.connect(relay)
try:
    udp.send(head + b"after")
    udp.recv(65535)
    print("still there")
except ConnectionRefusedError:
    print("ended")
except socket.timeout:
    print("silent")
