"""HTTP through a relay beside haproxy, nginx and caddy, and how well requests are spread over backends of which some are slow."""
import os
import re
import socket
import ssl
import subprocess
import sys
import time

import l4
import report
import rig as rig_
from rig import portway

HOST = "bench.example"
HANDSHAKES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "handshakes.py")
PLAIN = ["direct", "haproxy", "nginx", "caddy", "relayd"]
TLS = ["haproxy", "nginx", "caddy", "relayd"]
WRK = ["wrk", "-t1", "-c64", "--latency", "-H", f"Host: {HOST}"]
WRK8 = ["wrk", "-t1", "-c8", "--latency", "-H", f"Host: {HOST}"]
H2LOAD = ["h2load", "-t1", "--connect-to=127.0.0.1:{port}"]  # which names the server as it connects
COPIES = ["haproxy", "nginx", "relayd"]
# name: what it is, load, subjects
LOADS = {
    "http": ("128 bytes, 64 connections that stay", [*WRK, "http://127.0.0.1:{port}/128"], PLAIN),
    "http10k": ("10 KB, 64 connections that stay", [*WRK, "http://127.0.0.1:{port}/10240"], PLAIN),
    "http1m": ("1 MB, 8 connections that stay", [*WRK8, "http://127.0.0.1:{port}/1000000"], COPIES),
    "https1m": ("1 MB over TLS, 8 connections that stay", [*H2LOAD, "-c8", "-m1", "--h1"], COPIES),
    "http_close": ("128 bytes, a connection for each", [*WRK, "-H", "Connection: close", "http://127.0.0.1:{port}/128"], PLAIN),
    "tls": ("full TLS 1.3 handshakes, ECDSA P-256, one client", [sys.executable, HANDSHAKES, "{port}", HOST], TLS),
    "h2": ("128 bytes, HTTP/2 over TLS, 16 connections of 8 streams", [*H2LOAD, "-c16", "-m8"], TLS),
}
ENCRYPTED, FILES = ("tls", "h2", "https1m"), ("http1m", "https1m")
BIG = 1_000_000
TLS_IDLE = 1000
ONLY = os.environ.get("BENCH_SUBJECTS", "").split()  # of the loads' subjects; all, when it is empty
# Twenty backends of 4 places and 20 ms, two four times as slow, one that stands still for 300 ms every 2 s; half of what they can do.
BACKENDS, SERVICE_US, PLACES = 20, 20000, 4
RATE = float(os.environ.get("BENCH_QUALITY_RATE", "1800"))
ALGORITHMS = ["round_robin", "weighted_round_robin", "least_connections", "random_two", "peak_ewma", "adaptive_ai"]
NAMES = [*LOADS, "tls_idle", "quality"]


# ---- subjects ---------------------------------------------------------------------------------------------------------

def certificate(rig):
    crt, key = os.path.join(rig.folder, "crt.pem"), os.path.join(rig.folder, "key.pem")
    if not os.path.exists(crt):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
                        "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", key, "-out", crt], check=True, capture_output=True)
        rig.file("both.pem", rig_.read(crt) + rig_.read(key))
        os.chmod(rig.folder, 0o755)
        os.chmod(key, 0o644)
    return crt, key


def haproxy(rig, port, backends, tls, balance="roundrobin"):
    servers = "\n".join(f"  server s{i} 127.0.0.1:{b}" for i, b in enumerate(backends))
    listen = f"ssl crt {rig.folder}/both.pem alpn h2,http/1.1" if tls else ""
    path = rig.file(f"haproxy{port}.cfg", f"""global
  nbthread 1
  maxconn 9000
  tune.ssl.cachesize 0
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen l
  bind 127.0.0.1:{port} backlog 4096 {listen}
  http-reuse always
  balance {balance}
{servers}
""")
    return ["haproxy", "-db", "-f", path]


def nginx(rig, port, backends, tls, balance=""):
    servers = " ".join(f"server 127.0.0.1:{b} max_fails=0;" for b in backends)
    listen = f"ssl_certificate {rig.folder}/crt.pem; ssl_certificate_key {rig.folder}/key.pem;" if tls else ""
    path = rig.file(f"nginx{port}.conf", f"""daemon off; pid {rig.folder}/nginx{port}.pid; error_log stderr crit; worker_processes 1;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{ access_log off; keepalive_requests 1000000; proxy_max_temp_file_size 0;
  client_body_temp_path {rig.folder}; proxy_temp_path {rig.folder}; fastcgi_temp_path {rig.folder}; uwsgi_temp_path {rig.folder}; scgi_temp_path {rig.folder};
  upstream b {{ {balance} {servers} keepalive 256; keepalive_requests 1000000; }}
  ssl_session_cache off;
  server {{ listen 127.0.0.1:{port} backlog=4096 {"ssl http2" if tls else ""}; {listen} ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ''; }} }} }}
""")
    return ["nginx", "-p", rig.folder, "-c", path]


def caddy(rig, port, backends, tls):
    options = f"https://{HOST}:{port} {{\nbind 127.0.0.1\ntls {rig.folder}/crt.pem {rig.folder}/key.pem\n" if tls else f"http://:{port} {{\nbind 127.0.0.1\n"
    path = rig.file(f"Caddyfile{port}", "{\nadmin off\nauto_https disable_redirects\n" + f"default_sni {HOST}\n}}\n{options}"
                    f"reverse_proxy {' '.join(f'127.0.0.1:{b}' for b in backends)}\n}}\n")
    return ["env", f"HOME={rig.folder}", "GOMAXPROCS=1", "caddy", "run", "--adapter", "caddyfile", "--config", path]


class Relay:
    """Ours: a controld and a relay; a pool and a route for each name that is asked for."""

    def __init__(self, workers=1, core=rig_.SUBJECT_CORE, binary=None):
        self.name, self.port, self.tls_port = "relayd", portway.free_port(), portway.free_port()
        self.fleet = portway.Fleet({**rig_.UNLIMITED, "CONTROLD_TUNNELS_HOST_NAMES": "operator"})
        try:
            self.fleet.start(relays=1, relay_env={"RELAYD_WORKERS": str(workers), "RELAYD_LOG_LEVEL": "warn",
                                                  "RELAYD_HTTP_LISTEN": f"127.0.0.1:{self.port}", "RELAYD_TLS_LISTEN": f"127.0.0.1:{self.tls_port}"},
                             relay_binary=binary)
            self.pids = [self.fleet.relay.pid]
            if core is not None:
                subprocess.run(["taskset", "-apc", core, str(self.pids[0])], check=True, capture_output=True)
        except BaseException:
            self.fleet.stop()
            raise

    def route(self, host, backends, algorithm="round_robin", **fields):
        name = f"{host.replace('.', '-')}"
        self.fleet.api.post("/api/pools", {"name": name, "algorithm": algorithm, "health_check": {"enabled": False}}, expect=201)
        for backend in backends:
            self.fleet.api.post("/api/backends", {"address": f"127.0.0.1:{backend}", "pool": name, "weight": 100}, expect=201)
        self.fleet.api.post("/api/routes", {"host": host, "path_prefix": "/", "pool": name, **fields}, expect=201)

    def certify(self, crt, key):
        self.fleet.api.post("/api/v1/certificates", {"name": HOST, "chain": rig_.read(crt), "key": rig_.read(key)}, expect=201)

    def stop(self):
        self.fleet.stop()


class Subject:
    def __init__(self, name, port, pids, stop):
        self.name, self.port, self.pids, self.stop = name, port, pids, stop


def answers(port, tls, host=HOST):
    sock = socket.create_connection(("127.0.0.1", port), timeout=2)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock, server_hostname=host)
    with sock:
        sock.sendall(f"GET /128 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        said = sock.recv(64)
    assert b" 200 " in said, said
    return True


def file_server(rig, port):
    """A backend for bodies that do not fit into a socket: nginx, which sends them from the kernel's own pages."""
    for size in (128, BIG):
        rig.file(str(size), "x" * size)
    os.chmod(rig.folder, 0o755)
    path = rig.file("files.conf", f"""daemon off; pid {rig.folder}/files.pid; error_log stderr crit; worker_processes 1;
events {{ worker_connections 1000; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000; server {{ listen 127.0.0.1:{port}; root {rig.folder}; }}
  client_body_temp_path {rig.folder}; proxy_temp_path {rig.folder}; fastcgi_temp_path {rig.folder}; uwsgi_temp_path {rig.folder}; scgi_temp_path {rig.folder}; }}
""")
    server = rig.start(rig_.LOAD_CORE, ["nginx", "-p", rig.folder, "-c", path], stderr=subprocess.DEVNULL)
    portway.eventually(lambda: answers(port, False), "the file server answers", 15)
    return server


class Stage(rig_.Rig):
    """Backends that speak HTTP, and subjects in front of them."""

    def __init__(self, specs=("",), files=False):
        super().__init__()
        self.backends = [portway.free_port() for _ in specs]
        if files:
            self.http = file_server(self, self.backends[0])
            return
        argv = [os.path.join(portway.BIN, "benchhttp"), "serve", *(f"{port}{spec}" for port, spec in zip(self.backends, specs))]
        self.http = self.start(rig_.LOAD_CORE, argv)
        assert self.http.stdout.readline() == "ready\n"

    def close(self):
        self.http.terminate()
        self.http.wait()
        super().close()

    def peer(self, name, argv, port, tls, host=HOST):
        peer = rig_.Peer(name, rig_.pinned(rig_.SUBJECT_CORE, argv), port)
        self.subjects.append(peer)
        portway.eventually(lambda: answers(port, tls, host), f"{name} answers", 15)
        return Subject(name, port, peer.pids, peer.stop)

    def add_http(self, name, tls):
        port = portway.free_port()
        if name == "direct":
            return Subject(name, self.backends[0], [], None)
        if name in ("relayd", "relayd_other"):
            relay = Relay(binary=rig_.OTHER if name == "relayd_other" else None)
            self.subjects.append(relay)
            relay.route(HOST, self.backends, **({"ssl_enabled": True} if tls else {}))
            if tls:
                relay.certify(*certificate(self))
            port = relay.tls_port if tls else relay.port
            try:
                portway.eventually(lambda: answers(port, tls), f"{name} answers", 15)
            except AssertionError as error:
                print(f"   {name} is left out: {error}", flush=True)
                return None
            return Subject(name, port, relay.pids, None)
        if tls:
            certificate(self)
        return self.peer(name, {"haproxy": haproxy, "nginx": nginx, "caddy": caddy}[name](self, port, self.backends, tls), port, tls)


# ---- loads ------------------------------------------------------------------------------------------------------------

def micros(text):
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(value) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}[unit]


def read_wrk(out):
    row = {"done": float(re.search(r"(\d+) requests in", out).group(1)), "per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))}
    for key, share in (("p50_us", "50%"), ("p99_us", "99%")):
        found = re.search(share + r"\s+([\d.]+(?:us|ms|s|m))\b", out)
        if found:  # a run in which nothing came to its end has none
            row[key] = micros(found.group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    row["lost"] = float(bad.group(1) if bad else 0) + sum(float(x) for x in (errors.groups() if errors else ()))
    return row


def read_handshakes(out):
    seen = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", out)}
    return {"done": seen["done"], "per_s": seen["done"] / seen["seconds"], "lost": seen["failed"]}


def read_h2load(out):
    done, failed, errored = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored", out).groups()
    return {"done": float(done), "per_s": float(re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", out).group(1)), "lost": float(failed) + float(errored)}


def argv_of(name, port):
    seconds = str(max(1, round(rig_.SECONDS)))
    argv = [word.format(port=port) for word in LOADS[name][1]]
    if name == "tls":
        return [*argv, seconds], read_handshakes
    if argv[0] == "h2load":
        return [*argv, f"-D{seconds}", f"https://{HOST}:{port}/{BIG if name in FILES else 128}"], read_h2load
    return [*argv[:-1], f"-d{seconds}s", argv[-1]], read_wrk


def load(stage, name, subject):
    argv, read = argv_of(name, subject.port)
    process = subprocess.Popen(rig_.pinned(rig_.LOAD_CORE, argv), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True)
    cost = rig_.Cost(subject.pids, [stage.http.pid, process.pid])
    out = process.stdout.read()
    used = cost.stop()
    process.wait()
    row = read(out)
    done = row.pop("done")
    row["others"] = used["others"]
    if subject.pids and done:
        row["cpu_us"] = used["cpu"] * 1e6 / done
        if name in FILES:
            row["cpu_s_per_gb"] = used["cpu"] * 1e9 / (done * BIG)
    return row


def picked(subjects):
    return [name for name in ([*subjects, "relayd_other"] if rig_.OTHER else subjects) if name in (ONLY or name)]


def loads(names, rounds, tls, results):
    with Stage(files=names[0] in FILES) as stage:
        needed = {subject for name in names for subject in picked(LOADS[name][2])}
        subjects = {name: stage.add_http(name, tls) for name in picked(TLS if tls else PLAIN) if name in needed}
        for name in names:
            about, _, wanted = LOADS[name]
            metric = report.Metric(name, about)
            for _ in range(rounds):
                for subject in (s for s in picked(wanted) if subjects[s]):
                    metric.add(subject, load(stage, name, subjects[subject]))
                    time.sleep(0.2 if name == "http_close" else 0)
            results.metric(metric)


# ---- memory -----------------------------------------------------------------------------------------------------------

def tls_idle_run(stage, name, context):
    subject = stage.add_http(name, True)
    if not subject:
        return None
    time.sleep(l4.SETTLE_S)
    base, open_ones = rig_.pss_kib(subject.pids), []
    for _ in range(TLS_IDLE):
        sock = context.wrap_socket(socket.create_connection(("127.0.0.1", subject.port)), server_hostname=HOST)
        sock.sendall(f"GET /128 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        sock.recv(4096)
        open_ones.append(sock)
    time.sleep(l4.SETTLE_S)
    row = {"base_kib": base, "idle_kib": (rig_.pss_kib(subject.pids) - base) / TLS_IDLE}
    for sock in open_ones:
        sock.close()
    return row


def tls_idle(rounds):
    """Connections whose handshake is done and that asked once, then nothing; subjects that have just started."""
    metric = report.Metric("tls_idle", f"memory (PSS) of {TLS_IDLE:,} TLS connections that asked once, each")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(min(rounds, l4.MEMORY_ROUNDS)):
        with Stage() as stage:
            for name in TLS:
                row = tls_idle_run(stage, name, context)
                if row:
                    metric.add(name, row)
    return metric


# ---- how well requests are spread ---------------------------------------------------------------------------------------

def quality_specs():
    specs = [f",{SERVICE_US},{PLACES}"] * BACKENDS
    specs[3] = specs[11] = f",{4 * SERVICE_US},{PLACES}"
    specs[7] = f",{SERVICE_US},{PLACES},300,2000"
    return specs


def ask_at_rate(port, host):
    argv = [os.path.join(portway.BIN, "benchhttp"), "load", str(port), host, "256", str(RATE), str(max(3, round(2 * rig_.SECONDS)))]
    out = subprocess.run(rig_.pinned(rig_.LOAD_CORE, argv), capture_output=True, text=True, check=True).stdout
    seen = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", out)}
    return {"p50_us": seen["p50_us"], "p99_us": seen["p99_us"], "p999_us": seen["p999_us"],
            "errors_percent": 100 * seen["failed"] / max(seen["ok"] + seen["failed"], 1)}


def quality(rounds):
    """One relay with a route for each algorithm, beside the best that the peers have."""
    metric = report.Metric("quality", f"{BACKENDS} backends of {PLACES} places and {SERVICE_US / 1000:g} ms, two four times as slow, one still for 300 ms "
                           f"every 2 s; {RATE:g} requests/s")
    with Stage(quality_specs()) as stage:
        asked = []
        for name, config, balance in (("haproxy leastconn", haproxy, "leastconn"), ("nginx random two", nginx, "random two least_conn;")):
            port = portway.free_port()
            stage.peer(name, config(stage, port, stage.backends, False, balance), port, False)
            asked.append((name, port, HOST))
        relay = Relay()
        stage.subjects.append(relay)
        for algorithm in ALGORITHMS:
            host = f"{algorithm.replace('_', '-')}.example"
            relay.route(host, stage.backends, algorithm)
            portway.eventually(lambda h=host: answers(relay.port, False, h), host, 15)
            asked.append(("relayd" if algorithm == "adaptive_ai" else f"relayd {algorithm}", relay.port, host))
        for _ in range(rounds):
            for name, port, host in asked:
                metric.add(name, ask_at_rate(port, host))
    return metric


def run(names, rounds, results):
    for tls in (False, True):
        for files in (False, True):
            wanted = [n for n in LOADS if n in names and (n in ENCRYPTED) == tls and (n in FILES) == files]
            if wanted:
                loads(wanted, rounds, tls, results)
    if "tls_idle" in names:
        results.metric(tls_idle(rounds))
    if "quality" in names:
        results.metric(quality(rounds))
