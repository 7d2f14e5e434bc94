"""tests/conformance/http1.txt: the table, the codec's answers to it, and those of a relay, haproxy and nginx on this machine.

    tests/lib/http_table.py --record     write what these answer now into the table (then read the difference)
"""
import concurrent.futures
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

import portway
import routes

TABLE = os.path.join(portway.ROOT, "tests", "conformance", "http1.txt")
PEERS = ("haproxy", "nginx")
ASKED = ("relay", *PEERS)
QUIET_S = 0.3  # no word for so long: it waits
HAPROXY = """
defaults
    mode http
    retries 0
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 60s
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    server s 127.0.0.1:{backend}
"""
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port}; server_name a;
        location / {{
            proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.1; proxy_next_upstream off;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; proxy_set_header X-Case $http_x_case;
        }}
    }}
}}
"""


def spread(text):
    """{a*3} is aaa; braces may hold braces."""
    while (found := re.search(r"\{([^{}]*)\*(\d+)\}", text)) is not None:
        text = text[:found.start()] + found.group(1) * int(found.group(2)) + text[found.end():]
    return text


def raw(text):
    names = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
    parts = re.split(r"\\(x[0-9a-f]{2}|[rnt\\])", spread(text))
    return b"".join((bytes([int(p[1:], 16)]) if p[0] == "x" else names[p]) if i % 2 else p.encode() for i, p in enumerate(parts))


class Row:
    def __init__(self, section, name):
        self.section, self.name, self.fields = section, name, {}

    def __getattr__(self, key):
        return self.fields.get(key, "")

    @property
    def response(self):
        return "asked" in self.fields

    @property
    def bytes(self):
        return raw(self.send)


def rows(path=TABLE):
    section, row, found = "", None, []
    with open(path) as table:
        for number, line in enumerate(table, 1):
            line = line.rstrip("\n")
            if line.startswith("## "):
                section = line[3:]
            elif line.startswith("  "):
                key, _, value = line.strip().partition(" ")
                assert key in ("asked", "send", "portway", "why", *ASKED), f"{path}:{number}: {key}?"
                row.fields[key] = value.strip()
            elif line and not line.startswith("#"):
                row = Row(section, line)
                found.append(row)
    return found


def codec(table):
    """What httpcheck says to each row."""
    lines = "".join(f"{row.asked or '-'} {row.bytes.hex()}\n" for row in table)
    done = subprocess.run([os.path.join(portway.BIN, "httpcheck")], input=lines, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


# ---- a reader that takes what it gets: for the backend and the client, behind and in front of somebody who is strict ----

class Reader:
    def __init__(self, sock):
        self.sock, self.rest, self.over = sock, b"", False

    def more(self):
        data = self.sock.recv(65536)
        self.over = not data
        self.rest += data
        return bool(data)

    def head(self):
        """Start line and fields of the next message, or None at the end."""
        while b"\r\n\r\n" not in self.rest:
            if not self.more():
                return None
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        fields = {n.strip().lower(): v.strip() for n, _, v in (line.partition(b":") for line in lines)}
        return first.decode("latin-1"), fields

    def take(self, n):
        while len(self.rest) < n:
            if not self.more():
                return None
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken

    def line(self):
        while b"\r\n" not in self.rest:
            if not self.more():
                return None
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    def content(self, fields, until_close=False):
        """(length, whether it was whole)."""
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            total = 0
            while (line := self.line()) is not None:
                size = int(line.split(b";")[0], 16)
                if size == 0:
                    while (line := self.line()) not in (b"", None):
                        pass
                    return total, line is not None
                if self.take(size + 2) is None:
                    break
                total += size
            return total, False
        if b"content-length" in fields:
            wanted = int(fields[b"content-length"])
            whole = self.take(wanted) is not None
            return (wanted if whole else len(self.rest)), whole
        if not until_close:
            return 0, True
        while self.more():
            pass
        got, self.rest = len(self.rest), b""
        return got, True


class Backend:
    """Answers 200 and says how much content came; with X-Case: N, sends the bytes of that row and ends."""

    def __init__(self, table):
        self.table = table
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(conn,), daemon=True).start()

    def talk(self, conn):
        reader = Reader(conn)
        with conn:
            try:
                while (message := reader.head()) is not None:
                    first, fields = message
                    length, whole = reader.content(fields)
                    if not whole:
                        return
                    if b"x-case" in fields:
                        conn.sendall(self.table[int(fields[b"x-case"])].bytes)
                        conn.shutdown(socket.SHUT_WR)
                        conn.recv(1)
                        return
                    conn.sendall(b"HTTP/1.1 200 OK\r\nX-Got: %d\r\nContent-Length: %d\r\n\r\n%s" % (
                        length, 0 if first.startswith("HEAD") else 2, b"" if first.startswith("HEAD") else b"ok"))
            except (OSError, ValueError):
                pass

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Peer:
    def __init__(self, name, backend):
        self.port = portway.free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="portway-peer-")
        text = {"haproxy": HAPROXY, "nginx": NGINX}[name].format(port=self.port, backend=backend.port, folder=self.folder.name)
        path = os.path.join(self.folder.name, "conf")
        with open(path, "w") as conf:
            conf.write(text)
        os.chmod(self.folder.name, 0o777)
        argv = {"haproxy": ["haproxy", "-db", "-f", path], "nginx": ["nginx", "-c", path]}[name]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        portway.eventually(lambda: socket.create_connection(("127.0.0.1", self.port)).close() is None, name)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def ask(self, row, number):
        """Words as in the table: what a client sees who sends the row, or whose request the row answers."""
        expects = len([w for w in row.fields.get(row.peer_key, "").split() if w not in ("wait", "close", "-")])
        with socket.create_connection(("127.0.0.1", self.port)) as conn:
            conn.settimeout(20 if expects or row.fields.get(row.peer_key) == "close" else QUIET_S)
            if row.response:
                method = {"h": "HEAD", "g": "GET", "u": "GET"}[row.asked]
                upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n" if row.asked == "u" else ""
                conn.sendall(f"{method} / HTTP/1.1\r\nHost: a\r\nX-Case: {number}\r\n{upgrade}\r\n".encode())
            else:
                conn.sendall(row.bytes)
            return " ".join(self.answers(conn, row, expects)) or "close"

    @staticmethod
    def answers(conn, row, expects):
        reader, words = Reader(conn), []
        while len(words) < 40:
            if len(words) >= expects:
                conn.settimeout(QUIET_S)
            try:
                message = reader.head()
            except TimeoutError:
                return words or ["wait"]
            except OSError:
                return words
            if message is None:
                return words
            if not message[0].startswith("HTTP/1."):
                return words + ["raw"]
            status = int(message[0].split()[1])
            empty = status < 200 or status in (204, 304) or row.asked == "h"
            try:
                length, whole = (0, True) if empty else reader.content(message[1], until_close=True)
            except OSError:  # nothing more came in time, or it was reset
                length, whole = len(reader.rest), False
            words.append(f"{status}:{message[1].get(b'x-got', b'%d' % length).decode()}" if status < 400 else str(status))
            if not whole:
                words[-1] += "-cut"
            if status == 101:
                return words
        return words


class Relay(Peer):
    """A relay with one route for every host. It waits as long as the others do."""

    def __init__(self, backend):  # pylint: disable=super-init-not-called
        waits = {f"RELAYD_HTTP_{what}_TIMEOUT": "60s" for what in ("HEAD", "BODY", "IDLE")}
        self.routes = routes.Routes(waits)
        self.port = self.routes.port
        self.routes.put(routes.pool("p", routes.backend("b", backend.port)), routes.route("r", "p", host="*"))

    def close(self):
        self.routes.stop()


def peer_answers(table, name):
    """{row's number: words}, the rows side by side."""
    backend = Backend(table)
    peer = Relay(backend) if name == "relay" else Peer(name, backend)
    for row in table:
        row.peer_key = name
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asked = {i: pool.submit(peer.ask, row, i) for i, row in enumerate(table) if row.asked != "c"}
            return {i: future.result() for i, future in asked.items()}
    finally:
        peer.close()
        backend.close()


def record():
    global QUIET_S
    QUIET_S = 1.5  # nobody knows yet how much will come
    table = rows()
    seen = {name: peer_answers(table, name) for name in ASKED}
    number, lines = -1, []
    with open(TABLE) as old:
        for line in old:
            if not line.startswith(("  ", "#")) and line.strip():
                number += 1
            if line.strip().partition(" ")[0] in ASKED:
                continue
            lines.append(line)
            if line.startswith("  portway"):
                lines += [f"  {name:8} {seen[name][number]}\n" for name in ASKED if number in seen[name]]
    with open(TABLE, "w") as new:
        new.writelines(lines)


if __name__ == "__main__":
    if sys.argv[1:] != ["--record"]:
        sys.exit(__doc__)
    record()
