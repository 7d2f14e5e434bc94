"""Two controlds on one PostgreSQL: any answers everything, and when one is gone the other goes on. Short rounds; the long
ones, with more that breaks, are tests/fault/test_cluster_faults.py."""
import signal
import subprocess
import threading
import time

import portway
import pytest
from cluster import Cluster, LogReader, Work, Writer
from portway import TcpServer, connect, echo, eventually, free_port


@pytest.fixture(scope="module")
def pair():
    with Cluster() as c:
        yield c.start()


@pytest.fixture
def new_pair():
    made = []

    def make(relays=1, **kw):
        c = Cluster(**kw)
        made.append(c)
        return c.start(relays)

    yield make
    for c in made:
        c.stop()


# ---- both the same -----------------------------------------------------------------------------------------------------


def test_first_start_at_the_same_moment_makes_one_of_everything(pair):
    one = {table: int(pair.server.sql(f"SELECT count(*) FROM {table}", pair.url)) for table in
           ("tenants", "users", "node_groups", "signing_keys", "controlds")}
    assert one == {"tenants": 1, "users": 1, "node_groups": 1, "signing_keys": 1, "controlds": 2}
    assert len({str(api.get("/.well-known/jwks.json")) for api in pair.apis}) == 1


def test_a_relay_is_online_and_answers_at_both(pair):
    with TcpServer(echo) as server:
        for i, api in enumerate(pair.apis):
            made = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                                 "target_port": server.port}, expect=201)
            assert made["status"] == "active", "a create waits for relays that poll the other one, too"
            other = pair.apis[1 - i]
            eventually(lambda: other.get(f"/api/v1/mappings/{made['id']}")["status"] == "active", "active there")
            with connect(made["source_port"]) as s:
                s.sendall(b"x")
                assert s.recv(1) == b"x"
                for asked in pair.apis:
                    def listed(a=asked):  # "complete" says whether the relay answered in time
                        told = a.get(f"/api/v1/mappings/{made['id']}/connections")
                        return told["complete"] and told
                    found = eventually(listed, "both ask the relay")
                    assert len(found["items"]) == 1
                other.delete(f"/api/v1/connections/{found['items'][0]['id']}")
                with pytest.raises(ConnectionResetError):  # cut from the other
                    assert s.recv(1)
            other.delete(f"/api/v1/mappings/{made['id']}")


def test_a_mapping_that_cannot_work_is_an_error_at_both(pair):
    with TcpServer(echo) as taken:
        made = pair.apis[1].post("/api/v1/mappings", {"protocol": "tcp", "source_port": taken.port, "target_host": "127.0.0.1",
                                                      "target_port": 9}, expect=201)
        for api in pair.apis:
            def refused(a=api):
                m = a.get(f"/api/v1/mappings/{made['id']}")
                assert m["status"] == "error" and "edge-1" in m["error"], m
                return True
            eventually(refused, "error with its reason")
        pair.apis[0].delete(f"/api/v1/mappings/{made['id']}")


def test_where_a_relay_is_reached_is_told_by_both(new_pair):
    c = new_pair(relays=0)
    at = f"127.0.0.1:{free_port()}"
    c.add_relay("edge-1", {"RELAYD_AGENTS_LISTEN": at})
    client = c.api.post("/api/v1/clients", {"name": "office"}, expect=201)["id"]

    def told(api):
        node = api.get("/api/v1/nodes/edge-1")
        assert [r["address"] for r in api.get(f"/api/v1/clients/{client}/relays")["items"]] == [at]
        assert node["version"] and node["addresses"] == ["127.0.0.1"] and (node["load"] or {}).get("agents") == at and node["last_seen"]
        return True

    for api in c.apis:
        eventually(lambda a=api: told(a), "told there")
    other = 1 - c.at()
    c.controlds[other].stop()
    c.controlds[other].start()
    eventually(lambda: told(c.apis[other]), "told after a restart")


def test_one_login_and_its_end_count_at_both(pair):
    a, b = portway.Api(pair.controlds[0].base), portway.Api(pair.controlds[1].base)
    tokens = a.login()
    b.session.headers.update(a.session.headers)
    b.get("/auth/me")
    fresh = b.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]}, expect=200)
    a.post("/auth/refresh", {"refresh_token": fresh["refresh_token"]}, expect=200)
    a.post("/auth/logout", {}, expect=200)
    eventually(lambda: b.get("/auth/me", expect=(200, 401)) is not None and b.last.status_code == 401, "ended there", 10)


def test_guessing_is_counted_over_both(pair):
    apis = [portway.Api(c.base) for c in pair.controlds]
    for i in range(5):
        apis[i % 2].post("/auth/login", {"email": "guessed@example.com", "password": "wrong"}, expect=401)
    for api in apis:
        api.post("/auth/login", {"email": "guessed@example.com", "password": "wrong"}, expect=429)


def test_rates_are_of_each_controld_by_itself(new_pair):
    """What docs/postgresql.md says: as many times the limit as there are controlds, and no more."""
    c = new_pair(relays=0, env={"CONTROLD_HTTP_RATE_LIMIT": "1", "CONTROLD_HTTP_RATE_BURST": "20"})
    b = portway.Api(c.controlds[1].base)
    b.session.headers.update(c.apis[0].session.headers)
    for api in (c.apis[0], b):
        answers = [api.call("GET", "/auth/me") and api.last.status_code for _ in range(40)]
        assert answers[0] == 200 and 429 in answers, answers
        assert answers.count(200) <= 35, "it is held"


def test_a_key_makes_one_thing_wherever_it_is_shown(pair):
    body = {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1", "target_port": 9, "status": "inactive"}
    made = [api.post("/api/v1/mappings", body, headers={"Idempotency-Key": "the-same"}, expect=201)["id"] for api in pair.apis]
    assert made[0] == made[1]
    pair.api.delete(f"/api/v1/mappings/{made[0]}")


def test_a_token_joins_once(pair):
    token = pair.api.post("/api/v1/nodes/join-tokens", {"name": "once"})["token"]
    relays = [portway.Relayd(pair.folder, f"once-{i}", c, token) for i, c in enumerate(pair.controlds)]
    try:
        for r in relays:
            r.start()
        eventually(lambda: "certificate_refused" in pair.controlds[0].log() + pair.controlds[1].log(), "one is refused")
        eventually(lambda: pair.apis[1].get("/api/v1/nodes/once")["status"] == "online", "one has joined")
        assert sum(c.log().count("node_joined") for c in pair.controlds) == 2, "edge-1 and this one"
    finally:
        for r in relays:
            r.stop()


def test_cluster_shows_both_and_the_relays(pair):
    for api in pair.apis:
        controlds, relays = pair.glance(api)
        assert sorted(c["name"] for c in controlds) == ["a", "b"] and {c["status"] for c in controlds} == {"up"}
        edge = next(r for r in relays if r["name"] == "edge-1")
        assert edge["status"] == "online" and edge["controld"] in [c["id"] for c in controlds]


# ---- what does not fit -------------------------------------------------------------------------------------------------


def refuses(cluster, words, **env):
    c = cluster.make(7, **env)
    portway.Daemon.start(c)
    assert c.process.wait(30) != 0
    assert all(w in c.log() for w in words), c.log_tail()


def test_another_master_key_is_refused(pair):
    refuses(pair, ["sealed with another master key", "CONTROLD_MASTER_KEY"], CONTROLD_MASTER_KEY="77" * 32)
    refuses(pair, ["has not", "master.key"], CONTROLD_MASTER_KEY="")


def test_a_start_waits_for_who_has_the_database_to_himself(pair):
    """For a moment, as one that was frozen in the middle of something: longer than a request would wait."""
    holder = threading.Thread(target=pair.server.sql, args=("LOCK TABLE schema_migrations; SELECT pg_sleep(6)", pair.url))
    third = pair.make(3)
    holder.start()
    eventually(lambda: pair.server.sql("SELECT 1 FROM pg_locks WHERE relation = 'schema_migrations'::regclass AND "
                                       "mode = 'AccessExclusiveLock' AND granted", pair.url).strip() == "1", "it is held")
    third.start()
    holder.join()
    assert "start_put_off" in third.log() and "held on to it for too long" in third.log()
    third.stop()


def test_a_newer_schema_is_gone_on_with_if_it_says_so(pair):
    newest = int(pair.server.sql("SELECT max(number) FROM schema_migrations", pair.url))
    pair.server.sql(f"INSERT INTO schema_migrations VALUES ({newest + 1}, '{newest + 1:04}_newer', 'x', 1)", pair.url)
    try:
        refuses(pair, [f"{newest + 1:04}_newer", "newer controld"])
        pair.server.sql(f"INSERT INTO schema_compatible VALUES ({newest + 1}, {newest + 1})", pair.url)
        refuses(pair, [f"only those that know migration {newest + 1}"])
        pair.server.sql(f"UPDATE schema_compatible SET compatible = {newest} WHERE number = {newest + 1}", pair.url)
        third = pair.make(2)
        third.start()
        third.stop()
        assert pair.apis[0].get("/health")["status"] == "healthy"
    finally:
        pair.server.sql(f"DELETE FROM schema_migrations WHERE number = {newest + 1}; DELETE FROM schema_compatible "
                        f"WHERE number = {newest + 1}", pair.url)


def test_upgrade_of_one_after_the_other(new_pair):
    """To a controld that is one migration ahead, under load: the old one goes on beside the new one, and starts beside it."""
    c = new_pair(relays=2)
    work = Work(c).start()
    newest = int(c.server.sql("SELECT max(number) FROM schema_migrations", c.url))

    def again(i, program):
        c.controlds[i].stop()
        c.controlds[i].program = program
        c.controlds[i].start()
        work.until_all_write()

    again(0, "controld-next")
    assert int(c.server.sql("SELECT max(number) FROM schema_migrations", c.url)) == newest + 1
    again(1, "controld")
    again(1, "controld-next")
    print(f"\nupgraded under load: {work.settle()}")
    assert c.server.sql("SELECT count(*) FROM changes WHERE kind = 'node' AND op = 'offline'", c.url) == "0"


def test_sixteen_writers_at_both_and_a_reader_by_offset(pair):
    """Sequence order is commit order: who reads by offset misses nothing."""
    stopping = threading.Event()
    writers = [Writer(pair, i, stopping) for i in range(16)]
    reader = LogReader(pair, stopping)
    for t in [reader, *writers]:
        t.start()
    eventually(lambda: all(w.done >= 5 for w in writers), "each writes", 60)
    stopping.set()
    for t in [reader, *writers]:
        t.join(60)
    for w in writers:
        w.verify(pair.apis[w.number % 2])
    assert reader.verify() >= 80


# ---- one is gone -------------------------------------------------------------------------------------------------------


def test_a_killed_controld_costs_nothing(new_pair):
    c = new_pair(relays=2)
    work = Work(c).start()
    victim = c.at("edge-1")
    c.controlds[victim].kill()
    pause = work.until_all_write()
    eventually(lambda: c.at("edge-1", c.apis[1 - victim]) == 1 - victim, "the relay has gone to the other", 20)
    c.controlds[victim].start()
    figures = work.settle()
    print(f"\nkilled: writers paused {pause:.2f} s; {figures}")
    online = c.server.sql("SELECT count(*) FROM changes WHERE kind = 'node' AND op = 'offline'", c.url)
    assert online == "0", "a relay that moves in time is not offline"


def test_relays_go_back_to_a_controld_that_is_there_again(new_pair):
    """A few at a time, and none that cannot reach it; connections and counters do not notice."""
    c = new_pair(relays=0, env={"CONTROLD_FLEET_BALANCE_AFTER": "12s", "CONTROLD_FLEET_JOIN_RATE": "1000"})
    c.add_relay("edge-1")
    c.simulate(30, rows=2, heartbeat=200)
    work = Work(c, writers=2).start()
    gone = c.at("edge-1")
    stays = c.apis[1 - gone]

    def at_each():
        controlds, relays = c.glance(stays)
        return [sum(r["controld"] == x["id"] for r in relays) for x in controlds if x["status"] == "up"]

    c.controlds[gone].kill()
    eventually(lambda: max(at_each()) == 31, "all are at the one that is left", 60)
    c.controlds[gone].start()
    eventually(lambda: len(at_each()) == 2 and max(at_each()) <= 18, "they have spread", 120)
    steps = [line for line in c.controlds[1 - gone].log().splitlines() if "relays_moved" in line]
    assert len(steps) >= 3, "a few at a time"
    print(f"\nspread {at_each()} in {len(steps)} steps; {work.settle()}")
    assert c.server.sql("SELECT count(*) FROM changes WHERE kind = 'node' AND op = 'offline'", c.url) == "0"


def test_a_killed_database_costs_time_only(new_pair):
    c = new_pair(settings={"fsync": "on"})
    work = Work(c).start()
    c.server.kill()
    c.server.start()
    pause = work.until_all_write()
    figures = work.settle()
    print(f"\ndatabase killed: writers paused {pause:.2f} s after it was there again; {figures}")


def test_a_controld_that_was_frozen_goes_on(new_pair):
    c = new_pair(relays=2)
    work = Work(c).start()
    victim = c.at("edge-1")
    c.controlds[victim].signal(signal.SIGSTOP)
    time.sleep(6)  # longer than it may hold a transaction
    pause = work.until_all_write()
    c.controlds[victim].signal(signal.SIGCONT)
    figures = work.settle()
    print(f"\nfrozen for 6 s: writers paused up to {figures['longest_pause_s']} s, {pause:.2f} s at its end; {figures}")
    assert c.server.sql("SELECT count(*) FROM changes WHERE kind = 'node' AND op = 'offline'", c.url) == "0"


def test_a_name_with_two_addresses(new_pair, tmp_path):
    """As DNS gives them: a relay goes from the one to the other."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no mount namespaces")
    port = portway.free_port()
    c = new_pair(relays=0, lines=[f"127.0.0.{i + 1}:{port}" for i in range(2)])
    (tmp_path / "hosts").write_text("127.0.0.1 localhost controlds.test\n127.0.0.2 controlds.test\n")
    token = c.api.post("/api/v1/nodes/join-tokens", {"name": "edge-1"})["token"]
    relay = portway.Relayd(c.folder, "edge-1", c.controlds[0], token, {"RELAYD_CONTROLD": f"controlds.test:{port}"})
    relay.wrap = ["unshare", "--mount", "sh", "-c", f'mount --bind {tmp_path}/hosts /etc/hosts && exec "$0"']
    c.relays.append(relay)
    relay.start()
    eventually(lambda: c.at("edge-1") is not None, "online", 30)
    first = c.at("edge-1")
    c.controlds[first].kill()
    eventually(lambda: c.at("edge-1", c.apis[1 - first]) == 1 - first, "online at the other", 30)
    c.controlds[first].start()
