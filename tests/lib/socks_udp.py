"""A SOCKS5 client that sends datagrams (RFC 1928 section 7), and a question of DNS for it.

By itself: socks_udp.py PROXY_PORT SERVER_PORT NAME prints the addresses that a name server on 127.0.0.1 answers."""
import socket
import struct
import sys


def target(host, port):
    """A destination as SOCKS5 writes it."""
    for family, kind in ((socket.AF_INET, 1), (socket.AF_INET6, 4)):
        try:
            return bytes([kind]) + socket.inet_pton(family, host) + port.to_bytes(2, "big")
        except OSError:
            pass
    return bytes([3, len(host)]) + host.encode() + port.to_bytes(2, "big")


class Association:
    """reply: the code of the answer; the connection stays open as long as it is in use. first: a header in front of it all."""

    def __init__(self, proxy_port, proxy="127.0.0.1", first=b""):
        self.tcp = socket.create_connection((proxy, proxy_port), 20)
        self.tcp.sendall(first + b"\x05\x01\x00")
        assert self.tcp.recv(2) == b"\x05\x00"
        self.tcp.sendall(b"\x05\x03\x00" + target("0.0.0.0", 0))
        answer = self.tcp.recv(22)
        self.reply = answer[1]
        if self.reply == 0:
            family, end = (socket.AF_INET, 8) if answer[3] == 1 else (socket.AF_INET6, 20)
            self.at = socket.inet_ntop(family, answer[4:end]), int.from_bytes(answer[end:end + 2], "big")
            self.udp = self.socket()

    def socket(self):
        """Of some other port of this machine."""
        sock = socket.socket(socket.AF_INET6 if ":" in self.at[0] else socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(20)
        return sock

    def send(self, host, port, data, fragment=0, sock=None):
        (sock or self.udp).sendto(bytes([0, 0, fragment]) + target(host, port) + data, self.at)

    def receive(self, host, port):
        """The next datagram, which must be from there."""
        head = b"\0\0\0" + target(host, port)
        data, source = self.udp.recvfrom(65536)
        assert source[:2] == self.at and data.startswith(head), (source, data[:40])
        return data[len(head):]

    def close(self):
        self.tcp.close()
        if self.reply == 0:
            self.udp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def question(name, ident=7):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">HHHHHH", ident, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def addresses(answer, asked):
    """Of type A, from an answer whose names are compressed, as those of name servers are."""
    assert answer[:2] == asked[:2] and answer[len(asked[:12]):len(asked)] == asked[12:], answer
    found, at = [], len(asked)
    for _ in range(int.from_bytes(answer[6:8], "big")):
        kind, _, _, length = struct.unpack(">HHIH", answer[at + 2:at + 12])
        if kind == 1:
            found.append(socket.inet_ntoa(answer[at + 12:at + 16]))
        at += 12 + length
    return found


def main():
    proxy, server, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with Association(proxy) as assoc:
        assert assoc.reply == 0, assoc.reply
        assoc.send("127.0.0.1", server, question(name))
        print(*addresses(assoc.receive("127.0.0.1", server), question(name)))


if __name__ == "__main__":
    main()
