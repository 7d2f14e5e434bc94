"""Several controlds on one PostgreSQL, relays that know all of them, and work that goes on while something breaks: writers
at every controld, traffic through the relays, simulated relays, a reader of the change log by offset."""
import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time

import portway
import postgres
from load import CountingServer, Load
from portway import eventually

KEY = "5a" * 32
UNLIMITED = {"CONTROLD_HTTP_RATE_LIMIT": "0"}  # one user makes all the changes and reads them all back


class Cluster:
    """n controlds ("a", "b", ...) on a database of their own; `url` may name one that stands already."""

    def __init__(self, n=2, settings=None, url=None, env=None, lines=None):
        self.folder = tempfile.mkdtemp(prefix="portway-test-")
        self.server = None if url else postgres.Server(settings)
        self.url, self.env, self.relays, self.n = url, env or {}, [], n
        self.controlds, self.apis, self.sim, self.own_lines = [], [], None, lines or []

    def start(self, relays=1):
        if self.server:
            self.url = self.server.start().database()
        for i in range(self.n):
            self.controlds.append(self.make(i))
        for c in self.controlds:  # at the same moment, on an empty database
            portway.Daemon.start(c)
        for c in self.controlds:
            eventually(c.ready, "controld ready", 60)
        self.apis = [c.api() for c in self.controlds]
        for i in range(relays):
            self.add_relay(f"edge-{i + 1}")
        return self

    def make(self, i, **extra):
        folder = os.path.join(self.folder, chr(ord("a") + i))
        os.makedirs(folder, exist_ok=True)
        env = {"CONTROLD_DATABASE_URL": self.url, "CONTROLD_MASTER_KEY": KEY, "CONTROLD_CLUSTER_NAME": chr(ord("a") + i), **UNLIMITED,
               **self.env, **extra}
        if i < len(self.own_lines):
            env["CONTROLD_FLEET_LISTEN"] = self.own_lines[i]
        return portway.Controld(folder, env)

    @property
    def lines(self):
        return ",".join(self.own_lines or [f"127.0.0.1:{c.fleet_port}" for c in self.controlds])

    @property
    def api(self):
        return self.apis[0]

    def add_relay(self, name, env=None):
        group = "default" if not self.relays else f"of-{name}"  # two on one machine would want the same ports
        if self.relays:
            self.api.post("/api/v1/groups", {"name": group}, expect=201)
        token = self.api.post("/api/v1/nodes/join-tokens", {"name": name, "group": group})["token"]
        relay = portway.Relayd(self.folder, name, self.controlds[0], token, {"RELAYD_CONTROLD": self.lines, **(env or {})})
        self.relays.append(relay)
        relay.start()
        for api in self.apis:
            eventually(lambda a=api: a.get(f"/api/v1/nodes/{name}")["status"] == "online", f"{name} online", 60)
        return relay

    def simulate(self, count, rows=0, heartbeat=2000):
        """Simulated relays in a group of their own, spread over the controlds."""
        self.api.post("/api/v1/groups", {"name": "simulated"}, expect=(200, 201, 409))
        tokens = os.path.join(self.folder, "tokens")
        with open(tokens, "w") as f:
            for i in range(count):
                f.write(self.api.post("/api/v1/nodes/join-tokens", {"name": f"sim-{i}", "group": "simulated"})["token"] + "\n")
        self.sim = Sim(self.lines, tokens, count, rows, heartbeat, self.folder)
        return self.sim

    def glance(self, api=None):
        """Of /api/cluster: the controlds, and all pages of relays."""
        api, cursor, relays = api or self.api, "", []
        while True:
            page = api.get("/api/cluster?limit=200" + (f"&cursor={cursor}" if cursor else ""))
            relays += page["relays"]
            cursor = page["next_cursor"]
            if not cursor:
                return page["controlds"], relays

    def at(self, name="edge-1", api=None):
        """Which controld a relay polls: its index, or None."""
        controlds, relays = self.glance(api)
        where = next(r["controld"] for r in relays if r["name"] == name)
        names = [c["name"] for c in controlds if c["id"] == where]
        return ord(names[0]) - ord("a") if names else None

    def mapping(self, target_port, at=0):
        made = self.apis[at].post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                                       "target_port": target_port}, expect=201)
        for api in self.apis:
            eventually(lambda a=api: a.get(f"/api/v1/mappings/{made['id']}")["status"] == "active", "active at all", 60)
        return self.api.get(f"/api/v1/mappings/{made['id']}")

    def stop(self):
        errors = []
        if self.sim:
            self.sim.stop()
        for daemon in [*self.relays, *self.controlds]:
            with contextlib.suppress(OSError):
                if daemon.alive():
                    daemon.signal(18)  # SIGCONT
            try:
                daemon.stop()
            except AssertionError as error:
                errors.append(str(error))
        if self.server:
            self.server.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not errors, "\n".join(errors)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Sim:
    """relaysim: many relays in one process."""

    def __init__(self, lines, tokens, count, rows, heartbeat, folder):
        self.out = os.path.join(folder, "relaysim.out")
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen([os.path.join(portway.BIN, "relaysim"), "--controld", lines, "--join-tokens", tokens,
                                             "--relays", str(count), "--rows", str(rows), "--heartbeat", str(heartbeat)],
                                            stdin=subprocess.PIPE, stdout=out, stderr=out)
        eventually(lambda: "ready relays" in self.text(), f"{count} simulated relays", 120)

    def text(self):
        assert self.process.poll() is None, self.tail()
        return self.tail(10**9)

    def tail(self, size=2000):
        with open(self.out, errors="replace") as f:
            return f.read()[-size:]

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def mark(self):
        self.say("mark")

    def heartbeat(self, ms):
        self.say(f"heartbeat {ms}")

    def revisions(self):
        """Each revision that all have reached: (seq, p50, p99, max) in ms."""
        found = []
        for line in self.text().splitlines():
            if line.startswith("revision"):
                v = dict(f.split("=") for f in line.split()[1:])
                found.append((int(v["seq"]), float(v["p50_ms"]), float(v["p99_ms"]), float(v["max_ms"])))
        return found

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


class Writer(threading.Thread):
    """Creates, renames and deletes mappings at one controld after the other, and remembers what was acknowledged. Where the
    answer is lost either outcome is right, so such a mapping is not looked at any more."""

    def __init__(self, cluster, number, stopping, group="default"):
        super().__init__(daemon=True)
        self.rng, self.number, self.stopping, self.group = random.Random(number), number, stopping, group
        self.apis = []
        for controld, api in zip(cluster.controlds, cluster.apis):
            mine = portway.Api(controld.base)
            mine.session.headers.update(api.session.headers)
            self.apis.append(mine)
        self.present, self.deleted, self.unknown = {}, set(), set()
        self.done = self.failed = 0
        self.took, self.last_ok, self.longest = [], time.monotonic(), 0.0

    def run(self):
        turn = self.number
        while not self.stopping.is_set():
            begun = time.monotonic()
            try:
                self.one(self.apis[turn % len(self.apis)])
            except (portway.requests.RequestException, AssertionError, ValueError):
                self.failed += 1
                turn += 1
                self.stopping.wait(0.05)
                continue
            now = time.monotonic()
            self.done += 1
            self.took.append(now - begun)
            self.longest = max(self.longest, now - self.last_ok)
            self.last_ok = now
            turn += self.rng.random() < 0.3

    def one(self, api):
        known = [i for i in self.present if i not in self.unknown]
        what = self.rng.random()
        if what < 0.5 or not known:
            made = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1", "target_port": 9,
                                                 "name": "first", "status": "inactive", "group": self.group}, timeout=5, expect=201)
            self.present[made["id"]] = "first"
            return
        chosen = self.rng.choice(known)
        self.unknown.add(chosen)
        if what < 0.85 or len(known) < 20:
            name = f"name-{self.rng.random()}"
            api.put(f"/api/v1/mappings/{chosen}", {"name": name}, timeout=5)
            self.present[chosen] = name
        else:
            api.delete(f"/api/v1/mappings/{chosen}", timeout=5)
            self.deleted.add(chosen)
            del self.present[chosen]
        self.unknown.discard(chosen)

    def verify(self, api):
        """No acknowledged change was lost."""
        for mapping_id, name in self.present.items():
            if mapping_id not in self.unknown:
                assert api.get(f"/api/v1/mappings/{mapping_id}")["name"] == name
        for mapping_id in self.deleted:
            api.get(f"/api/v1/mappings/{mapping_id}", expect=404)


class LogReader(threading.Thread):
    """Reads the change log by offset, as the readers in controld do: what it has read in the end must be all there is."""

    def __init__(self, cluster, stopping):
        super().__init__(daemon=True)
        self.cluster, self.stopping, self.seen, self.offset = cluster, stopping, [], 0

    def read(self):
        text = self.cluster.server.sql(f"SELECT seq FROM changes WHERE seq > {self.offset} ORDER BY seq", self.cluster.url)
        fresh = [int(line) for line in text.split()]
        self.seen += fresh
        self.offset = fresh[-1] if fresh else self.offset

    def run(self):
        while not self.stopping.is_set():
            with contextlib.suppress(RuntimeError, OSError):
                self.read()
            self.stopping.wait(0.02)

    def verify(self):
        self.read()
        everything = [int(s) for s in self.cluster.server.sql("SELECT seq FROM changes ORDER BY seq", self.cluster.url).split()]
        assert self.seen == everything, (len(self.seen), len(everything), sorted(set(everything) - set(self.seen))[:20])
        assert everything == list(range(everything[0], everything[-1] + 1)), "numbers without a gap"
        return len(everything)


class Work:
    """All of it at once, around something that breaks; `settle` ends it and checks what must hold."""

    def __init__(self, cluster, writers=4, clients=4, reader=True):
        self.cluster, self.stopping = cluster, threading.Event()
        self.server = CountingServer()
        self.mappings = [cluster.mapping(self.server.port, at=i % len(cluster.apis)) for i in range(2)]
        self.load = Load([m["source_port"] for m in self.mappings], clients=clients)
        self.writers = [Writer(cluster, i, self.stopping) for i in range(writers)]
        self.reader = LogReader(cluster, self.stopping) if reader and cluster.server else None

    def start(self):
        self.load.start()
        for t in [*self.writers, *([self.reader] if self.reader else [])]:
            t.start()
        eventually(lambda: all(w.done > 3 for w in self.writers), "all writers write", 60)
        for w in self.writers:
            w.longest = 0.0
        return self

    def written(self):
        return sum(w.done for w in self.writers)

    def until_all_write(self, seconds=60):
        """Seconds until every writer has written again, from now."""
        begun, before = time.monotonic(), [w.done for w in self.writers]
        eventually(lambda: all(w.done > n for w, n in zip(self.writers, before)), "all write again", seconds, every=0.005)
        return time.monotonic() - begun

    def settle(self):
        self.stopping.set()
        for w in self.writers:
            w.join(60)
        self.load.stop()
        self.server.close()
        cluster = self.cluster
        for c in cluster.controlds:
            eventually(c.ready, "controld ready", 60)
        cluster.apis = [c.api() for c in cluster.controlds]
        for w in self.writers:
            w.verify(cluster.apis[w.number % len(cluster.apis)])
        figures = {"written": self.written(), "refused": sum(w.failed for w in self.writers),
                   "longest_pause_s": round(max(w.longest for w in self.writers), 2)}
        if self.reader:
            self.reader.join(60)
            figures["log"] = self.reader.verify()
        figures.update(self.count())
        return figures

    def count(self):
        """Counters are exact at every controld, and no connection was disturbed."""
        load, server = self.load, self.server
        assert load.broken == 0, f"{load.broken} of {load.connections} connections were disturbed"
        for api in self.cluster.apis:
            def reached(a=api):
                stats = [a.get(f"/api/v1/mappings/{m['id']}")["traffic_stats"] for m in self.mappings]
                up, down = sum(s["bytes_received"] for s in stats), sum(s["bytes_sent"] for s in stats)
                opened = sum(s["connections_total"] for s in stats)
                assert (up, down, opened) == (load.sent, server.sent, load.connections), (up, down, opened, load.sent, server.sent,
                                                                                           load.connections)
                return True
            eventually(reached, "exact counters", 60)
        return {"bytes": load.sent + server.sent, "connections": load.connections}
