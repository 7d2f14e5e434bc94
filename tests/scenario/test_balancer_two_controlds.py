"""Pools and routes with two controlds on one PostgreSQL: what is written at one is served, read and changed at the other, also when one is killed."""
import time

import portway
import pytest
from cluster import Cluster
from portway import eventually, free_port
from test_balancer_traffic import Web, ask


class Served(Cluster):
    """One relay that serves HTTP."""

    def __init__(self):
        super().__init__()
        self.http = free_port()

    def start(self, relays=0):
        super().start(relays)
        self.add_relay("edge-1", {"RELAYD_HTTP_LISTEN": f"127.0.0.1:{self.http}", "RELAYD_REPORT_INTERVAL": "300ms"})
        return self


@pytest.fixture(name="c")
def started():
    with Served() as c:
        yield c.start()


@pytest.fixture(name="webs")
def webs_of():
    made = [Web("one"), Web("two")]
    yield made
    for web in made:
        web.close()


def serve(api, host, pool, *webs):
    check = {"type": "tcp", "interval": "1s", "timeout": "1s", "rise": 1, "fall": 1}
    api.post("/api/pools", {"name": pool, "health_check": check}, expect=201)
    backends = [api.post("/api/backends", {"address": w.address, "pool": pool}, expect=201)["id"] for w in webs]
    return backends, api.post("/api/routes", {"host": host, "pool": pool}, expect=201)


def test_written_at_either_read_at_both(c, webs):
    for i, api in enumerate(c.apis):
        other = c.apis[1 - i]
        (backend,), route = serve(api, f"at-{i}.example", f"pool-{i}", webs[0])
        assert route["status"] == "active", "it waits for relays that are at the other one, too"
        assert ask(c, f"at-{i}.example").text == "one"
        eventually(lambda: other.get(f"/api/backends/{backend}")["status"] == "healthy", "its health is known at the other")
        eventually(lambda: api.get(f"/api/backends/{backend}")["status"] == "healthy", "and here")
        eventually(lambda: other.get(f"/api/routes/{route['id']}")["status"] == "active", "as the route is")
        moved = other.post("/api/backends", {"address": webs[1].address, "pool": f"pool-{i}"}, expect=201)
        other.put(f"/api/backends/{backend}", {"weight": 0})
        assert {ask(c, f"at-{i}.example").text for _ in range(10)} == {"two"}, "a drain at the other one"
        api.delete(f"/api/backends/{moved['id']}")
        api.put(f"/api/backends/{backend}", {"weight": 100})
        assert ask(c, f"at-{i}.example").text == "one"


def test_one_is_killed(c, webs):
    """The one that the relay is at: requests do not notice, and the other one takes what is written next."""
    (backend,), route = serve(c.api, "killed.example", "killed", webs[0])
    eventually(lambda: c.api.get(f"/api/backends/{backend}")["status"] == "healthy", "it is checked")
    victim = c.at("edge-1")
    left = c.apis[1 - victim]
    c.controlds[victim].kill()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert ask(c, "killed.example").status_code == 200
    eventually(lambda: c.at("edge-1", left) == 1 - victim, "the relay has gone to the other", 30)
    _, more = serve(left, "after.example", "after", webs[1])
    assert eventually(lambda: ask(c, "after.example").text == "two", "made at the one that is left")
    eventually(lambda: left.get(f"/api/routes/{more['id']}")["status"] == "active", "it knows so")
    left.put(f"/api/routes/{route['id']}", {"pool": "after"})
    eventually(lambda: ask(c, "killed.example").text == "two", "a change of what the other one had made")
    webs[0].close()
    eventually(lambda: left.get(f"/api/backends/{backend}")["status"] == "unhealthy", "health is told to the one that is left", 30)
    c.controlds[victim].start()
    eventually(lambda: c.apis[victim].get(f"/api/routes/{more['id']}")["status"] == "active", "the one that comes back knows all", 40)
    eventually(lambda: c.apis[victim].get(f"/api/backends/{backend}")["status"] == "unhealthy", "and how backends are", 40)
