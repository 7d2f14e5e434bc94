"""Two controlds on one PostgreSQL under API load, with real relays and 200 simulated ones, while one thing after the other
breaks. Prints how long it took to recover; what must hold is in cluster.Work.settle. PORTWAY_FROZEN, PORTWAY_WRITE_SECONDS,
PORTWAY_SIMULATED change the size."""
import os
import shutil
import signal
import subprocess
import time

import portway
import postgres
import pytest
from cluster import Cluster, Work
from portway import eventually

SIMULATED = int(os.environ.get("PORTWAY_SIMULATED", "200"))
FROZEN = float(os.environ.get("PORTWAY_FROZEN", "60"))
WRITE_SECONDS = float(os.environ.get("PORTWAY_WRITE_SECONDS", "60"))
DURABLE = {"fsync": "on", "full_page_writes": "on"}


@pytest.fixture
def pair():
    with Cluster(settings=DURABLE) as c:
        c.start(relays=2)
        c.simulate(SIMULATED, rows=2)
        yield c


def all_at(c, survivor):
    """Seconds until every relay polls this controld."""
    def reached():
        c.sim.text()  # it is alive
        controlds, relays = c.glance(c.apis[survivor])
        own = next(x["id"] for x in controlds if x["self"])
        away = [r["name"] for r in relays if r["controld"] != own]
        assert not away, f"{len(away)} of {len(relays)} have not come: {away[:5]}"
        return True
    begun = time.monotonic()
    eventually(reached, "every relay has come", 120, every=0.1)
    return time.monotonic() - begun


def up_to_date(c, api, seconds=60):
    """Every relay runs what it should, as this controld knows it."""
    def reached():
        _, relays = c.glance(api)
        behind = [r["name"] for r in relays if r["lag"] or r["status"] != "online"]
        assert not behind, f"{len(behind)} of {len(relays)} are behind: {behind[:5]}"
        return True
    begun = time.monotonic()
    eventually(reached, "every relay up to date", seconds, every=0.1)
    return time.monotonic() - begun


def offline_events(c):
    """How many relays were offline for a while; for each of them came and went alternate, whoever wrote it."""
    last, count = {}, 0
    for line in c.server.sql("SELECT subject, op FROM changes WHERE kind = 'node' AND op IN ('online', 'offline') ORDER BY seq",
                             c.url).splitlines():
        node, op = line.split("|")
        assert last.get(node, "offline") != op, f"{node} was said to be {op} twice"
        last[node] = op
        count += op == "offline"
    assert all(op == "online" for op in last.values()), last
    return count


def test_kill_of_a_controld(pair):
    work = Work(pair, writers=8).start()
    victim = pair.at("edge-1")
    pair.controlds[victim].kill()
    pause = work.until_all_write()
    online = all_at(pair, 1 - victim)
    fresh = up_to_date(pair, pair.apis[1 - victim])
    pair.controlds[victim].start()
    figures = work.settle()
    print(f"\nkill -9 of a controld: all write again after {pause:.2f} s, {SIMULATED + 2} relays at the other after {pause + online:.1f} s, "
          f"up to date after {pause + online + fresh:.1f} s; {offline_events(pair)} were offline for a while; {figures}")


def test_kill_of_the_database(pair):
    work = Work(pair, writers=8).start()
    pair.server.kill()
    time.sleep(3)
    pair.server.start()
    begun = time.monotonic()
    pause = work.until_all_write()
    fresh = [up_to_date(pair, api) for api in pair.apis]
    print(f"\nkill -9 of PostgreSQL, there again after 3 s: all write after {pause:.2f} s more, relays up to date as both see it "
          f"after {time.monotonic() - begun:.1f} s {fresh}; {work.settle()}")


def test_freeze_of_a_controld(pair):
    work = Work(pair, writers=8).start()
    victim = pair.at("edge-1")
    other = pair.apis[1 - victim]
    pair.controlds[victim].signal(signal.SIGSTOP)
    begun = time.monotonic()
    pause = work.until_all_write(30)
    eventually(lambda: pair.at("edge-1", other) == 1 - victim, "the relay has gone to the other", 60)
    moved = time.monotonic() - begun
    online = all_at(pair, 1 - victim)
    time.sleep(max(0, FROZEN - (time.monotonic() - begun)))
    pair.controlds[victim].signal(signal.SIGCONT)
    back = time.monotonic()
    eventually(lambda: pair.at("edge-1", pair.apis[victim]) == 1 - victim, "it knows where the relay is", 30)
    both = time.monotonic() - back
    figures = work.settle()
    print(f"\nSIGSTOP for {FROZEN:.0f} s: the others write after {pause:.1f} s, a relay has moved after {moved:.1f} s, all "
          f"{online:.1f} s later; {both:.2f} s after its return it knows that; {offline_events(pair)} were offline for a while; {figures}")


def test_sixteen_writers_and_a_reader_by_offset(pair):
    work = Work(pair, writers=16).start()
    begun, before = time.monotonic(), work.written()
    time.sleep(WRITE_SECONDS)
    seconds, done = time.monotonic() - begun, work.written() - before
    figures = work.settle()
    took = sorted(t for w in work.writers for t in w.took)
    print(f"\n16 writers at both for {seconds:.0f} s: {done / seconds:.0f} changes/s, p50 {took[len(took) // 2] * 1000:.1f} ms, "
          f"p99 {took[len(took) * 99 // 100] * 1000:.1f} ms; {figures}")
    assert figures["refused"] == 0


# ---- a replica is promoted --------------------------------------------------------------------------------------------


class Replica(postgres.Server):
    """A streaming replica of another server of the tests."""

    def follow(self, primary):
        primary.sql("CREATE ROLE copying LOGIN REPLICATION PASSWORD 'kept secret'")
        with open(os.path.join(primary.data, "pg_hba.conf"), "a") as f:
            f.write("local replication all scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n")
        primary.sql("SELECT pg_reload_conf()")
        if self.user:
            os.chown(self.folder, self.user["user"], self.user["group"])
        self._run("pg_basebackup", "-D", self.data, "-d", f"postgresql://copying:kept%20secret@127.0.0.1:{primary.port}/", "-R",
                  "-X", "stream", "-C", "-S", "replica")
        os.chmod(self.data, 0o700)
        return self.start()

    def promote(self):
        self._run("pg_ctl", "promote", "-D", self.data, "-w")


def test_promotion_of_a_replica():
    """Synchronous replication, so that what was acknowledged is on both; the URL names both hosts."""
    primary = postgres.Server({**DURABLE, "wal_level": "replica", "max_wal_senders": "5", "hot_standby": "on"}).start()
    replica = Replica({**DURABLE, "hot_standby": "on"})
    try:
        name = primary.database("portway") and "portway"
        replica.follow(primary)
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        url = (f"postgresql://{postgres.USER}:kept%20secret@127.0.0.1:{primary.port},127.0.0.1:{replica.port}/{name}"
               "?target_session_attrs=read-write")
        with Cluster(url=url) as c:
            c.start(relays=1)
            c.simulate(SIMULATED)
            work = Work(c, writers=8, reader=False).start()
            primary.kill()
            begun = time.monotonic()
            replica.promote()
            promoted = time.monotonic() - begun
            pause = work.until_all_write()
            fresh = up_to_date(c, c.apis[0])
            figures = work.settle()
            print(f"\npromotion: pg_ctl took {promoted:.2f} s, all write {pause:.2f} s later, relays up to date after "
                  f"{promoted + pause + fresh:.1f} s; {figures}")
    finally:
        for s in (replica, primary):
            s.close()


# ---- the network between a controld and PostgreSQL ---------------------------------------------------------------------


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Namespace:
    """A network namespace with two wires to this machine: one for the API and relays, one for the database."""

    API, DATABASE = "10.213.7", "10.213.8"

    def __init__(self):
        self.name = f"portway{os.getpid()}"
        self.ends = {net: (f"pw{os.getpid() % 100000}{x}", f"pw{os.getpid() % 100000}{x}n") for net, x in
                     ((self.API, "a"), (self.DATABASE, "d"))}

    def __enter__(self):
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        for net, (here, there) in self.ends.items():
            ip("link", "add", here, "type", "veth", "peer", "name", there)
            ip("link", "set", there, "netns", self.name)
            ip("addr", "add", f"{net}.1/30", "dev", here)
            ip("link", "set", here, "up")
            ip("-n", self.name, "addr", "add", f"{net}.2/30", "dev", there)
            ip("-n", self.name, "link", "set", there, "up")
        return self

    def wire(self, up):
        """Of the database: what is sent on it while it is down is lost, and nobody is told."""
        ip("link", "set", self.ends[self.DATABASE][0], "up" if up else "down")

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.name], check=False)


class Apart(Cluster):
    """The second controld reaches the database over a wire that can be cut."""

    def __init__(self, namespace, **kw):
        super().__init__(**kw)
        self.namespace = namespace

    def make(self, i, **extra):
        if i == 0:
            return super().make(i, **extra)
        port = self.server.port
        url = self.url.split("?")[0].replace(f"@:{port}", f"@{Namespace.DATABASE}.1:{port}")
        c = super().make(i, CONTROLD_DATABASE_URL=url, **extra)
        c.env["CONTROLD_HTTP_LISTEN"] = f"{Namespace.API}.2:{c.http_port}"
        c.env["CONTROLD_FLEET_LISTEN"] = f"{Namespace.API}.2:{c.fleet_port}"
        c.base = f"http://{Namespace.API}.2:{c.http_port}"
        c.wrap = ["ip", "netns", "exec", self.namespace.name]
        return c

    @property
    def lines(self):
        return ",".join([f"127.0.0.1:{self.controlds[0].fleet_port}", f"{Namespace.API}.2:{self.controlds[1].fleet_port}"])


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="makes a network namespace")
def test_network_cut_between_a_controld_and_the_database():
    with Namespace() as ns:
        with Apart(ns, settings={**DURABLE, "listen_addresses": f"127.0.0.1,{Namespace.DATABASE}.1"}) as c:
            c.server.initdb()
            with open(os.path.join(c.server.data, "pg_hba.conf"), "a") as f:
                f.write(f"host all all {Namespace.DATABASE}.0/30 scram-sha-256\n")
            c.start(relays=2)
            c.simulate(SIMULATED)
            work = Work(c, writers=8).start()
            ns.wire(False)
            begun = time.monotonic()
            pause = work.until_all_write(60)
            sick = eventually(lambda: requests_status(c.controlds[1]) == 503 and time.monotonic() - begun, "it says so itself", 60)
            moved = all_at(c, 0)
            up_to_date(c, c.apis[0])
            seen = time.monotonic() - begun
            time.sleep(max(0, 20 - (time.monotonic() - begun)))
            ns.wire(True)
            mended = time.monotonic()
            well = eventually(lambda: requests_status(c.controlds[1]) == 200 and time.monotonic() - mended, "well again", 60)
            fresh = up_to_date(c, c.apis[0])
            figures = work.settle()
            print(f"\nnetwork cut for 20 s: all write by the other after {pause:.2f} s, /ready says so after {sick:.1f} s, well "
                  f"{well:.2f} s after it was mended, relays all at the other one {moved:.1f} s after that, up to date {seen:.1f} s after the cut "
                  f"and {fresh:.1f} s after the mending; {offline_events(c)} were offline for a while; {figures}")


def requests_status(controld):
    try:
        return portway.requests.get(controld.base + "/ready", timeout=5).status_code
    except portway.requests.RequestException:
        return 0
