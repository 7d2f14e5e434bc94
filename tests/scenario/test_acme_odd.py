"""Certificates from a CA that is strict, slow or strange: limits of rate, accounts that are bound or forgotten, deaths at each of its answers."""
import contextlib
import json
import time

import pytest
from acme import Front, Pebble, wait_valid
from portway import Fleet, TcpServer, eventually, free_port


class World:
    """One relay, a controld, and a pebble behind a front."""

    def __init__(self, folder, eab=None, reuse="0", **pebble):
        self.http, self.tls = free_port(), free_port()
        self.pebble = Pebble(folder, self.http, self.tls, {"PEBBLE_WFE_NONCEREJECT": "30", "PEBBLE_AUTHZREUSE": reuse}, **pebble)
        self.eab = eab or {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.pebble)
            self.front = stack.enter_context(Front(self.pebble))
            self.backend = stack.enter_context(TcpServer(lambda conn, _: conn.recv(1)))
            self.fleet = Fleet(self.pebble.settings(CONTROLD_ACME_URL=self.front.directory, **self.eab))
            stack.callback(self.fleet.stop)
            self.fleet.start(1, {"RELAYD_HTTP_LISTEN": f"127.0.0.1:{self.http}", "RELAYD_TLS_LISTEN": f"127.0.0.1:{self.tls}"})
            self.api = self.fleet.api
            self.api.post("/api/pools", {"name": "web", "algorithm": "round_robin"})
            self.api.post("/api/backends", {"address": f"127.0.0.1:{self.backend.port}", "pool": "web"})
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.front.before = self.front.after = None
        self.stack.close()

    def order(self, host):
        self.api.post("/api/routes", {"host": host, "path_prefix": "/", "pool": "web", "ssl_enabled": True})
        return self.api.post("/api/v1/certificates", {"source": "acme", "names": [host]})["id"]

    def get(self, ident):
        return self.api.get(f"/api/v1/certificates/{ident}")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    with World(tmp_path_factory.mktemp("acme-odd")) as w:
        yield w


@pytest.fixture
def world(lasting):
    """Each test begins with a CA that does what it should."""
    yield lasting
    lasting.front.before = lasting.front.after = None


def failed(world, ident):
    """How often it was told: the number in the certificate is gone when it is valid."""
    told = world.api.get("/api/v1/audit?kind=certificate&limit=200")["items"]
    return sum(c["op"] == "issue_failed" and c["subject"] == ident for c in told)


def problem(kind, detail):
    return json.dumps({"type": "urn:ietf:params:acme:error:" + kind, "detail": detail}).encode()


def test_a_limit_of_rate_is_kept(world):
    asked = []

    def limited(path):
        if path.startswith("/order-plz"):
            asked.append(time.monotonic())
            if len(asked) == 1:
                return 429, problem("rateLimited", "too many certificates this week"), {"Retry-After": "5"}
        return None
    world.front.before = limited
    ident = world.order("limit.example")
    error = eventually(lambda: world.get(ident)["error"], "the limit is told")
    assert "too many certificates this week" in error and "rateLimited" in error
    wait_valid(world.api, ident)
    assert asked[1] - asked[0] >= 5
    world.front.before = None


def test_what_the_ca_does_not_want_is_not_tried_at_once(world):
    asked = []

    def reject(path):
        if path.startswith("/order-plz"):
            asked.append(path)
            return 400, problem("rejectedIdentifier", "not this name"), {}
        return None
    world.front.before = reject
    ident = world.order("reject.example")
    eventually(lambda: "not this name" in (world.get(ident)["error"] or ""), "it is told")
    job = next(j for j in world.api.get("/api/v1/jobs?kind=certificate&limit=200")["items"] if j["args"]["certificate"] == ident)
    assert eventually(lambda: world.api.get(f"/api/v1/jobs/{job['id']}")["state"] == "dead", "given up")
    assert len(asked) == 1 and world.get(ident)["renew_at"] > world.get(ident)["error_at"]
    world.front.before = None
    world.api.post(f"/api/v1/certificates/{ident}/renew", expect=202)  # whoever has mended it need not wait
    wait_valid(world.api, ident)


def test_answers_that_are_none(world):
    answers = iter([(500, b"<html>", {}), (200, b"[]", {}), (200, b'{"status": "pending"}', {}), (200, b"x" * 300000, {})])
    world.front.before = lambda path: next(answers, None) if path.startswith("/order-plz") else None
    ident = world.order("odd.example")
    eventually(lambda: failed(world, ident) >= 3, "they are refused", 40)
    wait_valid(world.api, ident, seconds=60)
    world.front.before = None


def test_an_account_that_the_ca_has_forgotten_is_made_again(world):
    forgotten = []

    def forget(path):
        if path.startswith("/order-plz") and not forgotten:
            forgotten.append(path)
            return 400, problem("accountDoesNotExist", "who are you"), {}
        return None
    accounts = world.pebble.count("/sign-me-up")
    world.front.before = forget
    wait_valid(world.api, world.order("forgotten.example"))
    assert world.pebble.count("/sign-me-up") > accounts
    world.front.before = None


def test_an_order_that_cannot_be_read_any_more_is_given_up(world):
    """As when acme.url names another CA from now on."""
    held, gone = [], []

    def hold(path):
        if path.startswith("/chalZ/") and not held:  # the first attempt ends here, with an order under way
            held.append(path)
            return 503, b"", {}
        if path.startswith("/my-order/") and held and not gone:
            gone.append(path)
        return (502, b"", {}) if path in gone else None
    before = world.pebble.orders()
    world.front.before = hold
    wait_valid(world.api, world.order("stuck.example"), seconds=60)
    world.front.before = None
    assert world.pebble.orders() - before == 2


@pytest.mark.parametrize("path,orders", [("/order-plz", 2), ("/authZ/", 2), ("/chalZ/", 1), ("/finalize-order/", 1), ("/certZ/", 1)])
def test_a_death_at_its_answer(world, path, orders):
    """controld is killed when the CA has done its part, and before it hears of it. Only an order that nobody heard of is made again."""
    before, killed = world.pebble.orders(), []

    def kill(at):
        if at.startswith(path) and not killed:
            world.fleet.controld.kill()
            killed.append(at)  # not before: the test starts another one then
    world.front.after = kill
    ident = world.order(f"death-{path.strip('/').lower()}.example")
    eventually(lambda: killed, "killed", 40)
    world.front.after = None
    world.fleet.controld.start()
    wait_valid(world.api, ident, seconds=60)
    assert world.pebble.orders() - before == orders


def test_a_proof_of_another_order_is_given_back(tmp_path):
    """The account is that of all tenants: a CA that remembers who showed a name would give it to the next one without a look."""
    with World(tmp_path, reuse="100") as world:
        ident = world.order("shown.example")
        first = wait_valid(world.api, ident)
        proofs = world.pebble.proofs()
        world.api.post(f"/api/v1/certificates/{ident}/renew", expect=202)
        eventually(lambda: world.get(ident)["serial"] != first["serial"], "another one", 60)
        assert world.pebble.proofs() > proofs


def test_an_account_elsewhere_is_bound(tmp_path):
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    with World(tmp_path, {"CONTROLD_ACME_EAB_KID": "kid-1", "CONTROLD_ACME_EAB_KEY": key}, externalAccountBindingRequired=True,
               externalAccountMACKeys={"kid-1": key}) as world:
        wait_valid(world.api, world.order("bound.example"))
