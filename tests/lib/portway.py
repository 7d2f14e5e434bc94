"""The scenarios' own vocabulary: a controld, relays, an API client, small servers. Everything on loopback, ports from the
kernel, every process ended by its pid."""
import atexit
import collections
import contextlib
import functools
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

import postgres
import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("PORTWAY_BIN", os.path.join(ROOT, "build", "bin"))
ADMIN = {"email": "admin@example.com", "password": "correct horse battery"}
SANITIZED = "address" in BIN or "thread" in BIN
# Where controlds of the tests keep: "sqlite", or "postgresql" for a database each on one server of all tests.
DATABASE = os.environ.get("PORTWAY_TEST_DATABASE", "sqlite")


# Of those that free_port() gives, what fetch() of browsers and Node.js connects to never ("bad port" of the Fetch standard).
NO_FETCH_PORTS = {3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697}
given_ports = collections.deque(maxlen=2000)
port_claims = collections.deque()


def claim_port(port):
    """Tests of other processes, side by side with these, do not give it to anybody: it has a name that only one socket can have."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0portway-test-port-{port}")
    except OSError:
        claim.close()
        return False
    port_claims.append(claim)
    if len(port_claims) > 256:
        port_claims.popleft().close()
    return True


def free_port(kind=socket.SOCK_STREAM, host="127.0.0.1"):
    """Free now, not given to anybody of late, who may open it only later, and not one that the kernel gives to outgoing
    connections: it must still be free when a daemon comes back. Every client goes there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = random.randrange(2100, 9900)  # controld picks tunnel ports from 10000 on
        if port in NO_FETCH_PORTS or port in given_ports or not claim_port(port):
            continue
        with socket.socket(family, kind) as s, contextlib.suppress(OSError):
            s.bind((host, port))
            given_ports.append(port)
            return port


def eventually(condition, what="condition", seconds=30, every=0.02):
    """Waits for a condition (truthy answer) instead of sleeping; answers its value. It is looked at once more when the time is
    over: this process may be what was held up. What is not in a list or an object yet may be there the next time."""
    end = time.monotonic() + seconds
    while True:
        is_late = time.monotonic() >= end
        try:
            last = condition()
            if last:
                return last
        except (OSError, requests.RequestException, AssertionError, LookupError, StopIteration) as error:
            last = error
        if is_late:
            raise AssertionError(f"{what} did not come true within {seconds} s; last: {last!r}")
        time.sleep(every)


class Daemon:
    """One of our programs, run in the foreground from its environment alone; its log is kept for failures."""
    args = ()  # words of the command line

    def __init__(self, program, env, folder, nofile=None):
        self.program, self.env, self.folder, self.nofile = program, env, folder, nofile
        self.log_path = os.path.join(folder, f"{program}-{env.get('RELAYD_NAME', '')}.log")
        self.process, self.wrap = None, []  # wrap: a program that runs it
        self.binary = None  # another build's; else the program of that name in BIN, or at that path

    def start(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CONTROLD_", "RELAYD_"))}
        clean.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
        clean.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.wrap, self.binary or os.path.join(BIN, self.program), *self.args], env={**clean, **self.env},
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self._limit)
        return self

    def _limit(self):
        if self.nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.alive():
            self.process.kill()
        if self.process:
            self.process.wait(60)

    def stop(self, seconds=90):
        """SIGTERM and a clean end: a crash or a sanitizer report at exit fails the test."""
        if self.process is None:
            return None
        if self.alive():
            self.process.terminate()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.program} did not stop within {seconds} s\n{self.log_tail()}") from None
        self.check_log()
        assert status in (0, -signal.SIGKILL), f"{self.program} ended with {status}\n{self.log_tail()}"
        return status

    def check_log(self):
        text = self.log()
        found = re.search(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:)", text)
        assert not found, text[max(0, found.start() - 1000):][:9000]  # its beginning says where

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def log_tail(self, lines=30):
        return "\n".join(self.log().splitlines()[-lines:])

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def peak_kib(self):
        """The most memory that it had at once."""
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


class Api:
    """The REST API as one user. Raises on any status that was not expected, showing the answer."""

    def __init__(self, base):
        self.base, self.session = base, requests.Session()
        self.session.trust_env = False

    def login(self, email=ADMIN["email"], password=ADMIN["password"]):
        answer = self.post("/auth/login", {"email": email, "password": password}, expect=200)
        self.session.headers["Authorization"] = "Bearer " + answer["token"]
        return answer

    def call(self, method, path, body=None, expect=None, **kw):
        answer = self.session.request(method, self.base + path, json=body, timeout=kw.pop("timeout", 60), **kw)
        wanted = (expect,) if isinstance(expect, int) else expect
        if wanted and answer.status_code not in wanted:
            raise AssertionError(f"{method} {path}: {answer.status_code}, wanted {wanted}: {answer.text[:2000]}")
        self.last = answer
        return answer.json() if answer.content and "json" in answer.headers.get("Content-Type", "") else answer.text

    def get(self, path, expect=200, **kw):
        return self.call("GET", path, expect=expect, **kw)

    def post(self, path, body=None, expect=(200, 201, 202), **kw):
        return self.call("POST", path, body, expect=expect, **kw)

    def put(self, path, body, expect=200, **kw):
        return self.call("PUT", path, body, expect=expect, **kw)

    def delete(self, path, expect=204, **kw):
        return self.call("DELETE", path, expect=expect, **kw)


@functools.lru_cache(None)
def postgres_server():
    """The server that all tests of this run share; ends with the run."""
    server = postgres.Server().start()
    atexit.register(server.close)
    return server


class Controld(Daemon):
    def __init__(self, folder, extra=None):
        self.http_port, self.fleet_port = free_port(), free_port()
        env = {"CONTROLD_HTTP_LISTEN": f"127.0.0.1:{self.http_port}", "CONTROLD_FLEET_LISTEN": f"127.0.0.1:{self.fleet_port}",
               "CONTROLD_DATA_DIR": os.path.join(folder, "controld"), "CONTROLD_ADMIN_EMAIL": ADMIN["email"],
               "CONTROLD_ADMIN_PASSWORD": ADMIN["password"],
               "CONTROLD_HTTP_ROW_RATE_LIMIT": "1000",  # all that tests log in comes from one address
               "CONTROLD_TUNNELS_CREATE_WAIT": "5s"}  # a relay on a busy machine is late; what is answered then is "pending"
        if DATABASE == "postgresql":
            env["CONTROLD_DATABASE_URL"] = postgres_server().database()
        env.update(extra or {})
        super().__init__("controld", env, folder)
        self.base = f"http://127.0.0.1:{self.http_port}"

    def start(self):
        super().start()
        eventually(self.ready, "controld ready", 60)
        return self

    def ready(self):
        assert self.alive(), self.log_tail()
        return requests.get(self.base + "/ready", timeout=20).status_code == 200

    def count(self, sql):
        """What a SELECT of one number answers, of the database itself."""
        url = self.env.get("CONTROLD_DATABASE_URL", "")
        if url.startswith("postgres"):
            return int(postgres_server().sql(sql, url))
        path = os.path.join(self.env["CONTROLD_DATA_DIR"], "portway.db")
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            return db.execute(sql).fetchone()[0]

    def api(self):
        client = Api(self.base)
        client.login()
        return client


class Relayd(Daemon):
    def __init__(self, folder, name, controld, token=None, extra=None, nofile=None):
        self.name, self.metrics_port = name, free_port()
        env = {"RELAYD_CONTROLD": f"127.0.0.1:{controld.fleet_port}", "RELAYD_NAME": name, "RELAYD_WORKERS": "2",
               "RELAYD_DATA_DIR": os.path.join(folder, name), "RELAYD_METRICS_LISTEN": f"127.0.0.1:{self.metrics_port}"}
        if token:
            env["RELAYD_JOIN_TOKEN"] = token
        super().__init__("relayd", {**env, **(extra or {})}, folder, nofile)

    def metrics(self):
        text = requests.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30).text
        values = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                key, value = line.rsplit(" ", 1)
                values[key] = float(value)
        return values


class Fleet:
    """One controld and its relays in a temporary folder."""

    def __init__(self, controld_env=None):
        self.folder = tempfile.mkdtemp(prefix="portway-test-")
        self.controld = Controld(self.folder, controld_env)
        self.relays = []
        self.api = None

    def start(self, relays=1, relay_env=None, relay_binary=None):
        self.controld.start()
        self.api = self.controld.api()
        for i in range(relays):
            self.add_relay(f"edge-{i + 1}", relay_env, binary=relay_binary)
        return self

    def add_relay(self, name, env=None, nofile=None, binary=None):
        token = self.api.post("/api/v1/nodes/join-tokens", {"name": name})["token"]
        relay = Relayd(self.folder, name, self.controld, token, env, nofile)
        relay.binary = binary
        self.relays.append(relay)
        relay.start()
        self.wait_online(name)
        return relay

    @property
    def relay(self):
        return self.relays[0]

    def node(self, name="edge-1"):
        return next(n for n in self.api.get(f"/api/v1/nodes?q={name}")["items"] if n["name"] == name)

    def wait_online(self, name="edge-1", seconds=60):
        return eventually(lambda: self.node(name)["status"] == "online" and self.node(name), f"{name} online", seconds)

    def mapping(self, target_port, protocol="tcp", active=True, **fields):
        body = {"protocol": protocol, "source_port": 0, "target_host": "127.0.0.1", "target_port": target_port, **fields}
        made = self.api.post("/api/v1/mappings", body, expect=201)
        return self.wait_status(made["id"]) if active else made

    def get(self, mapping_id):
        return self.api.get(f"/api/v1/mappings/{mapping_id}")

    def wait_status(self, mapping_id, status="active", seconds=30):
        def reached():
            mapping = self.get(mapping_id)
            assert mapping["status"] == status, (mapping["status"], mapping["error"])
            return mapping
        return eventually(reached, f"mapping {status}", seconds)

    def stats(self, mapping_id):
        return self.get(mapping_id)["traffic_stats"]

    def wait_stats(self, mapping_id, seconds=30, **wanted):
        def reached():
            stats = self.stats(mapping_id)
            assert all(stats[k] == v for k, v in wanted.items()), stats
            return stats
        return eventually(reached, f"counters {wanted}", seconds)

    def wait_refused(self, mapping_id, **wanted):
        """Refusals by reason, all that there are."""
        def reached():
            reasons = {k: n for k, n in self.stats(mapping_id)["refused_by_reason"].items() if n}
            assert reasons == wanted, reasons
            return True
        return eventually(reached, f"refusals {wanted}")

    def stop(self):
        errors = []
        for daemon in [*self.relays, self.controld]:
            try:
                daemon.stop()
            except AssertionError as error:
                errors.append(str(error))
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not errors, "\n".join(errors)


class TcpServer:
    """A threaded TCP server on a free port; handler(sock, address) runs once per connection."""

    def __init__(self, handler, host="127.0.0.1", port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, port))
        self.sock.listen(512)
        self.port = self.sock.getsockname()[1]
        self.handler, self.errors = handler, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, address = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(conn, address), daemon=True).start()

    def _run(self, conn, address):
        try:
            self.handler(conn, address)
        except OSError:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)
        finally:
            conn.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def echo(conn, _address):
    while data := conn.recv(65536):
        conn.sendall(data)


class UdpEcho:
    """Echoes each datagram; remembers from where they came."""

    def __init__(self, host="127.0.0.1", reply=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((host, 0))
        self.port = self.sock.getsockname()[1]
        self.seen, self.reply = [], reply or (lambda data: [data])
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                data, address = self.sock.recvfrom(65536)
            except OSError:
                return
            if address is None:  # closed while it waited
                return
            self.seen.append((data, address))
            for answer in self.reply(data):
                with contextlib.suppress(OSError):
                    self.sock.sendto(answer, address)

    def close(self):
        """Nobody waits at its descriptor any more: he would hold the port, and hear what is for the next socket of that number."""
        with contextlib.suppress(OSError):  # it says that there is no connection, and wakes who waits
            self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(port, host="127.0.0.1", timeout=20):
    return socket.create_connection((host, port), timeout)


def receive(sock, n):
    """n bytes, in however many pieces they come, or fewer at the end. A socket with a time-out knows no MSG_WAITALL."""
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            break
        data += more
    return data


def receive_all(sock):
    parts = []
    while data := sock.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


@contextlib.contextmanager
def program(argv, ready, seconds=60, env=None):
    """A foreign server (redis, nginx, nsd, sshd, iperf3) until the block ends."""
    log = tempfile.TemporaryFile()
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env)
    try:
        def up():
            if child.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"{argv[0]} ended with {child.returncode}: {log.read().decode(errors='replace')[-2000:]}")
            return ready()
        eventually(up, f"{argv[0]} ready", seconds)
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        log.close()


def listening(port, host="127.0.0.1"):
    def check():
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return True
        return False
    return check


def run(argv, seconds=60, **kw):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, **kw)
    assert done.returncode == 0, f"{' '.join(map(str, argv))}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def dump(value):
    return json.dumps(value, indent=1, sort_keys=True)
