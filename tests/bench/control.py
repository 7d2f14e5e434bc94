"""The control plane: the API's requests, a change on its way to the relays, a thousand relays."""
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import rig as rig_
from rig import SECONDS, UNLIMITED, portway

import postgres  # noqa: E402  pylint: disable=wrong-import-order

NAMES = ["api", "push", "relays", "search"]
MAPPINGS = [int(n) for n in os.environ.get("BENCH_MAPPINGS", "10000 100000").split()]
RELAYS = int(os.environ.get("BENCH_RELAYS", "1000"))
SEARCHED = {"sqlite": 100_000, "postgresql": 20_000}  # to make more there takes longer than all that is measured
if "BENCH_SEARCHED" in os.environ:
    SEARCHED = dict.fromkeys(SEARCHED, int(os.environ["BENCH_SEARCHED"]))
CLIENTS = 16
DATABASES = os.environ.get("BENCH_DATABASES", "sqlite postgresql").split()


def heading(text):
    print(f"\n## {text}", flush=True)


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def wrk(url, script=None, connections=64, seconds=None, headers=None):
    argv = ["taskset", "-c", "0", "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds or SECONDS))}s", "--latency"]
    for key, value in (headers or {}).items():
        argv += ["-H", f"{key}: {value}"]
    if script:
        argv += ["-s", script]
    out = subprocess.run([*argv, url], capture_output=True, text=True, check=True).stdout

    def ms(text):
        number = float(re.match(r"[\d.]+", text).group())
        return number / 1000 if text.endswith("us") else number if text.endswith("ms") else number * 1000
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return {"per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            "p50_ms": ms(re.search(r"^\s+50%\s+(\S+)", out, re.M).group(1)), "p99_ms": ms(re.search(r"^\s+99%\s+(\S+)", out, re.M).group(1)),
            "bad": int(bad.group(1)) if bad else 0}


def on_database(kind):
    """A controld on that kind of database, pinned like every subject; a PostgreSQL runs beside it, and keeps what it was told."""
    env, server = {}, None
    if kind == "postgresql":
        server = postgres.Server({"fsync": "on", "full_page_writes": "on"}).start()
        env = {"CONTROLD_DATABASE_URL": server.database()}
    fleet = portway.Fleet({**UNLIMITED, **env})
    fleet.start(relays=0)
    subprocess.run(["taskset", "-apc", rig_.SUBJECT_CORE, str(fleet.controld.pid)], check=True, capture_output=True)
    for i in range(20):
        fleet.mapping(1000 + i, active=False)
    return fleet, server


def commits(fleet):
    return float(re.search(r"^\w*db_commits_total(?:\{.*\})? (\S+)", fleet.api.get("/metrics"), re.M).group(1))


def api_loads(fleet, folder):
    """Name of a load -> what runs it."""
    one = fleet.api.get("/api/v1/mappings?limit=1")["items"][0]["id"]
    auth = {"Authorization": fleet.api.session.headers["Authorization"]}
    base = fleet.controld.base
    post = 'wrk.method="POST" wrk.headers["Content-Type"]="application/json"\nwrk.body=\'%s\'\n'
    scripts = {"create": {"protocol": "tcp", "source_port": 0, "target_host": "192.0.2.1", "target_port": 80},
               "login": portway.ADMIN}
    for name, body in scripts.items():
        with open(os.path.join(folder, name + ".lua"), "w") as f:
            f.write(post % json.dumps(body))

    def create():
        before, began = commits(fleet), time.monotonic()
        row = wrk(base + "/api/v1/mappings", os.path.join(folder, "create.lua"), connections=32, headers=auth)
        return {**row, "commits_per_s": (commits(fleet) - before) / (time.monotonic() - began)}
    return {"health": lambda: wrk(base + "/health"),
            "get": lambda: wrk(f"{base}/api/v1/mappings/{one}", headers=auth),
            "list 20": lambda: wrk(base + "/api/v1/mappings?limit=20", headers=auth),
            "login": lambda: wrk(base + "/auth/login", os.path.join(folder, "login.lua"), connections=4),
            "create": create}


def api_rows(rounds):
    result = {}
    for name, rows in rounds.items():
        row = {k: statistics.median(r[k] for r in rows) for k in rows[0]}
        row["vs_bare"] = statistics.median(r["per_s"] / b["per_s"] for r, b in zip(rows, rounds["bare"]))
        result[name] = row
        shared = f"  commits {row['commits_per_s']:.0f}/s" if "commits_per_s" in row else ""
        print(f"{name:20s} {row['per_s']:10.0f}/s  p50 {row['p50_ms']:8.2f} ms  p99 {row['p99_ms']:8.2f} ms  "
              f"{row['vs_bare']:.2f} x bare  refused {row['bad']:.0f}{shared}", flush=True)
    return result


def api(rounds_n):
    heading(f"api: requests/s on one core, wrk -t1 on the other (median of rounds); {', '.join(DATABASES)}")
    bare_port = portway.free_port()
    bare = subprocess.Popen(rig_.pinned(rig_.SUBJECT_CORE, [os.path.join(portway.BIN, "bare_http"), str(bare_port)]))
    folder = tempfile.mkdtemp()
    made = []
    try:
        loads = {"bare": lambda: wrk(f"http://127.0.0.1:{bare_port}/")}
        for kind in DATABASES:
            made.append(on_database(kind))
            loads.update({f"{kind[:10]} {name}": load for name, load in api_loads(made[-1][0], folder).items()})
        rounds = {name: [] for name in loads}
        for _ in range(rounds_n):
            for name, load in loads.items():
                rounds[name].append(load())
        return api_rows(rounds)
    finally:
        bare.terminate()
        bare.wait()
        for fleet, server in made:
            fleet.stop()
            if server:
                server.close()
        shutil.rmtree(folder)


def first_byte(port, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as s:
                s.sendall(b"x")
                if s.recv(1):
                    return
        except OSError:
            pass  # refused: not yet. Again at once, or the client's nap is what is measured
    raise AssertionError(f"port {port} never served")


class Client:
    """One connection to the API and nothing else: many rows are made at controld's pace, not at that of a library."""

    def __init__(self, fleet):
        self.http = http.client.HTTPConnection(fleet.controld.base.split("//")[1], timeout=60)
        self.headers = {"Authorization": fleet.api.session.headers["Authorization"], "Content-Type": "application/json"}

    def post(self, path, body):
        self.http.request("POST", path, json.dumps(body), self.headers)
        answer = self.http.getresponse()
        text = answer.read()
        assert answer.status == 201, f"{path}: {answer.status} {text[:500]}"
        return json.loads(text)


def by_many(fleet, fn, items):
    """What fn(client, item) says for each, in their order, by several clients of the API."""
    local = threading.local()

    def call(item):
        if not hasattr(local, "client"):
            local.client = Client(fleet)
        return fn(local.client, item)
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(call, items))


def create_many(fleet, bodies):
    return by_many(fleet, lambda client, body: client.post("/api/v1/mappings", body), bodies)


def apart(i):
    """A port of its own for each of many: one address has too few."""
    return {"source_port": 1024 + i % 8000, "bind_address": f"127.0.{i // 8000}.1"}


def pushed(fleet, body, witness):
    """Times of a change's answer and of its first byte, while a connection that was there before goes on."""
    api_ms, byte_ms = [], []
    for _ in range(200):
        start = time.monotonic()
        new = fleet.api.post("/api/v1/mappings", body, expect=201)
        api_ms.append((time.monotonic() - start) * 1000)
        first_byte(new["source_port"])
        byte_ms.append((time.monotonic() - start) * 1000)
        fleet.api.delete(f"/api/v1/mappings/{new['id']}")
        witness.sendall(b"w")
        assert witness.recv(1) == b"w"
    return {"api_p50_ms": quantile(api_ms, 0.5), "api_p99_ms": quantile(api_ms, 0.99),
            "first_byte_p50_ms": quantile(byte_ms, 0.5), "first_byte_p99_ms": quantile(byte_ms, 0.99)}


def restarted(fleet, last):
    """Seconds from exec to an answer of controld's, and to the first byte through a relay that knows nothing."""
    port, row = last["source_port"], {}
    fleet.controld.stop()
    began = time.monotonic()
    fleet.controld.start()
    fleet.api.get(f"/api/v1/mappings/{last['id']}")
    row["controld_start_s"] = time.monotonic() - began
    fleet.relay.stop()
    began = time.monotonic()
    fleet.relay.start()
    first_byte(port, 60)
    row["relayd_start_s"] = time.monotonic() - began
    return {**row, "controld_started_kib": fleet.controld.rss_kib(), "relayd_started_kib": fleet.relay.rss_kib()}


def push_at(count, held):
    """All of them in controld's model; a relay has at most 10,000, which is what descriptors allow: the others belong to a group without one."""
    here = min(count, 10_000)
    heading(f"push: one change at {count} mappings, {here} of them on one relay with 2 workers; then both start anew")
    fleet = portway.Fleet(UNLIMITED)
    try:
        fleet.start(relays=1, relay_env={"RELAYD_LOG_LEVEL": "warn"})
        with portway.TcpServer(portway.echo) as server:
            body = {"protocol": "tcp", "source_port": 0, "bind_address": "127.0.0.1", "target_host": "127.0.0.1",
                    "target_port": server.port}
            before = (fleet.controld.rss_kib(), fleet.relay.rss_kib())
            began = time.monotonic()
            fleet.api.post("/api/v1/groups", {"name": "elsewhere"}, expect=201)
            create_many(fleet, ({**searched(i, count - here), "group": "elsewhere"} for i in range(count - here)))
            made = create_many(fleet, [body] * here)
            portway.eventually(lambda: fleet.get(made[-1]["id"])["status"] == "active", "all active", 60)
            took = time.monotonic() - began
            after = (fleet.controld.rss_kib(), fleet.relay.rss_kib())
            with portway.connect(made[0]["source_port"]) as witness:
                times = pushed(fleet, body, witness)
            row = {"create_per_s": count / took, **times, "controld_kib_per_mapping": (after[0] - before[0]) / count,
                   "relayd_kib_per_mapping": (after[1] - before[1]) / here, "controld_rss_kib": after[0], "relayd_rss_kib": after[1],
                   **restarted(fleet, made[-1])}
        for key, value in row.items():
            print(f"{key:28s} {value:10.2f}", flush=True)
    except BaseException:
        fleet.stop()
        raise
    if held is not None and portway.DATABASE == "sqlite" and count == SEARCHED["sqlite"]:
        held.append(fleet)
    else:
        fleet.stop()
    return row


def push(_rounds, held):
    return {str(count): push_at(count, held) for count in MAPPINGS}


def relays(_rounds):
    heading(f"relays: {RELAYS} simulated relays to a new revision")
    fleet = portway.Fleet(UNLIMITED)
    sim = None
    try:
        fleet.start(relays=0)
        tokens = os.path.join(fleet.folder, "tokens")
        with open(tokens, "w") as f:
            for i in range(RELAYS):
                f.write(fleet.api.post("/api/v1/nodes/join-tokens", {"name": f"sim-{i}"})["token"] + "\n")
        sim = subprocess.Popen([os.path.join(portway.BIN, "relaysim"), "--controld", f"127.0.0.1:{fleet.controld.fleet_port}",
                                "--join-tokens", tokens, "--relays", str(RELAYS)], stdout=subprocess.PIPE, text=True)
        for line in sim.stdout:
            print(line.rstrip(), flush=True)
            if line.startswith("ready"):
                break

        def cpu():
            with open(f"/proc/{fleet.controld.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        rows = []
        for _ in range(5):
            used = cpu()
            fleet.mapping(80, active=False, target_host="192.0.2.1")
            line = next(line for line in sim.stdout if line.startswith("revision"))
            print(line.rstrip() + f" controld_cpu_s={cpu() - used:.2f} rss_kib={fleet.controld.rss_kib()}", flush=True)
            rows.append({k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", line)} | {"controld_cpu_s": cpu() - used,
                                                                                        "rss_kib": fleet.controld.rss_kib()})
    finally:
        if sim:
            sim.terminate()
            sim.wait()
        fleet.stop()
    return rows


SEARCHES = ("customer000123", "00777", "1443", "c", "cust", "customer", "customer0", "web", "tcp", "1", "10.0", "customer 4999", "1 2 c",
            "tcp nothing", "late", "map", "nothing")


def searched(i, n):
    """A name with a word of its own, a word of all, one that only the last tenth has."""
    return {"name": f"customer{i:06d} web-{i % 5000}{' late' if i >= n * 9 // 10 else ''}", "protocol": "udp" if i % 4 == 0 else "tcp",
            **apart(i), "target_host": f"10.0.{i // 250 % 250}.{i % 250}", "target_port": 80}


def to_be_searched(kind, held):
    """A controld with many mappings: that of push, if it ran, as to make them takes longer than to search them."""
    if kind == "sqlite" and held:
        fleet = held.pop()
        subprocess.run(["taskset", "-apc", rig_.SUBJECT_CORE, str(fleet.controld.pid)], check=True, capture_output=True)
        return fleet, None
    fleet, server = on_database(kind)
    began = time.monotonic()
    create_many(fleet, (searched(i, SEARCHED[kind]) for i in range(SEARCHED[kind])))
    print(f"{kind}: {SEARCHED[kind] / (time.monotonic() - began):.0f} created/s", flush=True)
    return fleet, server


def search(_rounds, held):
    heading(f"search: 50 hits of {', '.join(f'{SEARCHED[kind]} mappings on {kind}' for kind in DATABASES)}, first pages and pages deep inside")
    result = {}
    for kind in DATABASES:
        fleet, server = to_be_searched(kind, held)
        try:
            for text in SEARCHES:
                took, cursor, hits = [], "", 0
                for _ in range(200):
                    start = time.monotonic()
                    page = fleet.api.get("/api/v1/search", params={"q": text, "limit": 50, **({"cursor": cursor} if cursor else {})})
                    took.append((time.monotonic() - start) * 1000)
                    hits, cursor = hits + len(page["items"]), page["next_cursor"] or ""
                result[f"{kind} {text}"] = {"p50_ms": quantile(took, 0.5), "p99_ms": quantile(took, 0.99), "max_ms": max(took), "hits": hits}
                print(f"{kind:10s} {text:16s} p50 {quantile(took, 0.5):7.2f} ms  p99 {quantile(took, 0.99):7.2f} ms  max {max(took):7.2f}"
                      f" ms  {hits} hits in 200 pages", flush=True)
        finally:
            fleet.stop()
            if server:
                server.close()
    return result


def run(names, rounds, results):
    held = [] if "search" in names else None
    try:
        for name, measure in (("api", api), ("push", lambda n: push(n, held)), ("relays", relays), ("search", lambda n: search(n, held))):
            if name in names:
                results.control(name, measure(rounds))
    finally:
        for fleet in held or ():
            fleet.stop()
