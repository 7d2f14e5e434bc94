"""PostgreSQL away, restarted, frozen or not there yet: it is said, nothing acknowledged is lost, tunnels do not notice, and
everything recovers by itself."""
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests
from portway import BIN, Api, Controld, TcpServer, connect, echo, eventually

import postgres


@pytest.fixture(scope="module")
def server():
    with postgres.Server({"fsync": "on"}) as s:
        yield s


@pytest.fixture
def running(server):
    if not server.alive():
        server.start()
    return server


def on(server, **more):
    # limits that a machine under sanitizers and other tests keeps
    return {"CONTROLD_DATABASE_URL": server.database(tcp=True), "CONTROLD_HTTP_RATE_LIMIT": "0", **more}


def works(port):
    with connect(port, timeout=60) as s:
        s.sendall(b"ping")
        return s.recv(4) == b"ping"


def health(controld):
    answer = requests.get(controld.base + "/health", timeout=60)
    return answer.status_code, answer.json()


class Writers:
    """Creates users until told to stop; keeps what was acknowledged, and what nobody can know."""

    def __init__(self, fleet, n=4):
        self.fleet, self.kept, self.unknown, self.refused, self.slowest = fleet, [], [], 0, 0
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(n)]
        for t in self.threads:
            t.start()

    def _run(self, index):
        api = Api(self.fleet.controld.base)
        api.session.headers.update(self.fleet.api.session.headers)
        number = 0
        while not self.stopping.is_set():
            number += 1
            name = f"t{index}x{number}"
            began = time.monotonic()
            answer = api.call("POST", "/api/v1/tenants", {"name": name}, timeout=60)
            with self.lock:
                self.slowest = max(self.slowest, time.monotonic() - began)
                if api.last.status_code == 201:
                    self.kept.append(answer["id"])
                elif api.last.status_code == 504:
                    assert answer["code"] in ("OUTCOME_UNKNOWN", "TIMEOUT"), answer
                    self.unknown.append(name)
                else:
                    assert api.last.status_code == 503, (api.last.status_code, answer)
                    self.refused += 1

    def wait_more(self, n):
        with self.lock:
            wanted = len(self.kept) + n
        eventually(lambda: len(self.kept) >= wanted, "writes go on", 60)

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)


def tenants(api):
    found, cursor = {}, ""
    while cursor is not None:
        page = api.get(f"/api/v1/tenants?limit=100{'&cursor=' + cursor if cursor else ''}")
        found.update({t["id"]: t["name"] for t in page["items"]})
        cursor = page.get("next_cursor")
    return found


def check_all_there(fleet, writers):
    there = tenants(fleet.api)
    assert [i for i in writers.kept if i not in there] == [], "acknowledged and gone"
    known = set(writers.kept)
    extra = [n for i, n in there.items() if i not in known and n.startswith("t") and "x" in n]
    assert set(extra) <= set(writers.unknown), "what was refused is not there"


def test_killed_under_load(running, new_fleet):
    fleet = new_fleet(controld_env=on(running))
    with TcpServer(echo) as target:
        mapping = fleet.mapping(target.port)
        writers = Writers(fleet)
        for _ in range(2):
            writers.wait_more(20)
            with connect(mapping["source_port"]) as witness:
                running.kill()
                eventually(lambda: health(fleet.controld)[0] == 503, "health tells", 60)
                assert "database" in str(health(fleet.controld)[1])
                assert works(mapping["source_port"]), "tunnels go on"
                witness.sendall(b"w")
                assert witness.recv(1) == b"w"
                running.start()
                eventually(lambda: health(fleet.controld)[0] == 200, "recovers by itself", 60)
                writers.wait_more(20)
        writers.stop()
        check_all_there(fleet, writers)
        fleet.wait_online()
        fleet.wait_stats(mapping["id"], connections_total=4, bytes_received=2 * 5)


END_OTHERS = "SELECT count(pg_terminate_backend(pid{})) FROM pg_stat_activity WHERE datname = current_database() AND " \
             "pid <> pg_backend_pid()"


def test_sessions_ended_by_somebody_are_not_noticed(running, new_fleet):
    fleet = new_fleet(relays=0, controld_env=on(running))
    database = fleet.controld.env["CONTROLD_DATABASE_URL"]
    for i in range(20):
        running.sql(END_OTHERS.format(""), database)
        fleet.api.get("/api/v1/tenants")  # they may be just about to end
        running.sql(END_OTHERS.format(", 5000"), database)
        fleet.api.post("/api/v1/tenants", {"name": f"after-{i}"}, expect=201)


def test_frozen(running, new_fleet):
    fleet = new_fleet(controld_env=on(running, CONTROLD_DATABASE_ANSWER_TIMEOUT="3s"))
    with TcpServer(echo) as target:
        mapping = fleet.mapping(target.port)
        writers = Writers(fleet)
        writers.wait_more(5)
        running.signal_all(signal.SIGSTOP)
        try:
            eventually(lambda: health(fleet.controld)[0] == 503, "health tells", 60)
            assert works(mapping["source_port"])
            eventually(lambda: writers.refused > 20, "refused, not left waiting", 60)
        finally:
            running.signal_all(signal.SIGCONT)
        eventually(lambda: health(fleet.controld)[0] == 200, "recovers by itself", 60)
        writers.wait_more(5)
        writers.stop()
        check_all_there(fleet, writers)


def test_a_start_waits_for_it(running, new_fleet, tmp_path):
    env = on(running)
    running.stop()
    controld = Controld(str(tmp_path), env)
    super(Controld, controld).start()
    try:
        eventually(lambda: "database_waited_for" in controld.log(), "says what it waits for")
        running.start()
        eventually(controld.ready, "comes up", 60)
        controld.api().get("/api/v1/tenants")
        assert controld.log().count("database_waited_for") <= 4 and "database_unreachable" not in controld.log(), "once for each reason"
    finally:
        controld.stop()
    running.stop()
    impatient = Controld(str(tmp_path), {**env, "CONTROLD_DATABASE_START_WAIT": "0s"})
    super(Controld, impatient).start()
    assert impatient.process.wait(60) == 1
    assert "Connection refused" in impatient.log_tail()


@pytest.mark.parametrize("wrong,said", [("password", "password authentication failed"), ("database", "does not exist"),
                                        ("parameter", "nosuch"), ("nonsense", "libpq does not understand")])
def test_what_waiting_does_not_help_is_said_at_once(running, tmp_path, wrong, said):
    good = running.url("postgres", tcp=True)
    url = {"password": good.replace("kept%20secret", "hush-hush"), "database": good.replace("/postgres", "/nowhere"),
           "parameter": good + "?nosuch=1", "nonsense": "postgresql://u:hush%zz@h/x"}[wrong]
    out = subprocess.run([os.path.join(BIN, "controld")], capture_output=True, text=True, timeout=60, check=False,
                         env={**os.environ, "CONTROLD_DATABASE_URL": url, "CONTROLD_DATA_DIR": str(tmp_path / "d"),
                              "CONTROLD_HTTP_LISTEN": "127.0.0.1:0", "CONTROLD_FLEET_LISTEN": "127.0.0.1:0"})
    assert out.returncode == 1
    assert said in out.stderr, out.stderr
    for secret in ("hush", "kept secret", "kept%20secret"):
        assert secret not in out.stderr + out.stdout


def test_passwords_are_never_shown(running, new_fleet):
    fleet = new_fleet(relays=0, controld_env=on(running, CONTROLD_LOG_LEVEL="debug"))
    running.kill()
    eventually(lambda: health(fleet.controld)[0] == 503, "away", 60)
    text = str(health(fleet.controld))
    running.start()
    eventually(lambda: health(fleet.controld)[0] == 200, "back", 60)
    for secret in ("kept secret", "kept%20secret"):
        assert secret not in fleet.controld.log() and secret not in text
    assert "127.0.0.1" not in text, "clients are not told where the database is"


class Cut:
    """A wire to PostgreSQL. Armed, it is cut at the next COMMIT: "after" the server got it, or "before"; "silent" lets nobody
    in again, either. So many of those that come next are `turned_away`, or `ended_late`: when they have begun, after a while."""

    def __init__(self, server):
        self.server, self.port, self.armed, self.closed, self.cuts = server, server.port, None, False, 0
        self.turned_away = self.ended_late = 0
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.own = self.sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client = self.sock.accept()[0]
            if self.closed or self.turned_away > 0:
                self.turned_away = max(0, self.turned_away - 1)
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.port))
            lost = threading.Event()
            threading.Thread(target=self._carry, args=(client, server, lost, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, lost, False), daemon=True).start()

    def _carry(self, source, target, lost, watched):
        try:
            while data := source.recv(65536):
                if watched and self.ended_late > 0 and b"client_min_messages" in data:
                    self.ended_late -= 1
                    time.sleep(0.7)
                    break
                if watched and self.armed and b"COMMIT\0" in data:
                    how, self.armed = self.armed, None
                    self.closed = how == "silent"
                    lost.set()
                    if how != "before":
                        target.sendall(data)
                        time.sleep(0.3)  # the server stores it; its answer goes nowhere
                    self.cuts += 1
                    break
                if lost.is_set():
                    return
                target.sendall(data)
        except OSError:
            pass
        finally:
            if watched or not lost.is_set():
                if not watched:  # the other thread waits for more of the client: as long as it does, a close tells nobody
                    with contextlib.suppress(OSError):
                        target.shutdown(socket.SHUT_RDWR)
                for s in (source, target):
                    s.close()


def through(wire, **more):
    env = on(wire.server, **more)
    env["CONTROLD_DATABASE_URL"] = env["CONTROLD_DATABASE_URL"].replace(f":{wire.port}/", f":{wire.own}/")
    return env


def test_sessions_that_end_as_they_begin_are_not_noticed(running, new_fleet):
    wire = Cut(running)
    env = through(wire)
    fleet = new_fleet(relays=0, controld_env=env)
    direct = env["CONTROLD_DATABASE_URL"].replace(f":{wire.own}/", f":{wire.port}/")
    for i in range(5):
        wire.turned_away = 2
        running.sql(END_OTHERS.format(", 5000"), direct)
        fleet.api.get("/api/v1/tenants")
        fleet.api.post("/api/v1/tenants", {"name": f"begun-{i}"}, expect=201)
    assert "database_unreachable" not in fleet.controld.log()


def test_a_session_that_ends_as_it_begins_on_a_busy_machine_is_not_noticed(running, new_fleet):
    wire = Cut(running)
    env = through(wire)
    fleet = new_fleet(relays=0, controld_env=env)
    wire.ended_late = 1
    running.sql(END_OTHERS.format(", 5000"), env["CONTROLD_DATABASE_URL"].replace(f":{wire.own}/", f":{wire.port}/"))
    fleet.api.get("/api/v1/tenants")
    fleet.api.post("/api/v1/tenants", {"name": "begun-late"}, expect=201)
    eventually(lambda: wire.ended_late == 0, "one was ended")
    fleet.api.get("/api/v1/tenants")
    assert "database_unreachable" not in fleet.controld.log()


def test_a_commit_whose_answer_is_lost(running, new_fleet):
    wire = Cut(running)
    fleet = new_fleet(relays=0, controld_env=through(wire))
    number = iter(range(1000))

    def cut(how):
        """The answers to what is asked until the wire was cut at the commit of one of them."""
        wire.armed, before = how, wire.cuts
        while wire.cuts == before:
            name = f"cut-{next(number)}"
            answer = fleet.api.call("POST", "/api/v1/tenants", {"name": name})
            yield name, fleet.api.last.status_code, answer

    for _, status, answer in cut("after"):
        assert status == 201, answer  # it was looked up, and is there
    eventually(lambda: "status=committed" in fleet.controld.log(), "was looked up")
    for name, status, answer in cut("before"):
        assert status == 201, answer  # nothing was stored, so it was done again
        assert list(tenants(fleet.api).values()).count(name) == 1
    eventually(lambda: "status=aborted" in fleet.controld.log(), "was looked up")
    told = []
    while not any(status == 504 for _, status, _ in told):  # it may be cut at a commit of controld's own
        told = list(cut("silent"))
        wire.closed = False
        eventually(lambda: health(fleet.controld)[0] == 200, "back", 60)
    there = tenants(fleet.api).values()
    for name, status, answer in told:
        assert status in (201, 503, 504), answer
        assert (name in there) == (status != 503), "what nobody knew is there, what was refused is not"
        assert status != 504 or answer["code"] == "OUTCOME_UNKNOWN", answer
