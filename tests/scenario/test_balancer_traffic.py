"""Each call of the balancer's API is followed by requests through a real relay, which see its effect: at once where the answer says
`active`, and never with a request lost."""
import collections
import contextlib
import http.server
import threading

import portway
import pytest
import requests
from portway import Api, eventually, free_port


class Web:
    """A web server that answers with its name."""

    def __init__(self, name):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name
                status = int(self.path[8:11]) if self.path.startswith("/status/") else 200
                self.send_response(status)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *args):  # pylint: disable=arguments-differ
                pass

        self.name = name
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def fleet():
    f = portway.Fleet()
    f.http = free_port()
    try:
        f.start(relay_env={"RELAYD_HTTP_LISTEN": f"127.0.0.1:{f.http}"})
        yield f
    finally:
        f.stop()


@pytest.fixture(scope="module")
def webs():
    with contextlib.ExitStack() as all_of_them:
        made = [Web(name) for name in ("one", "two", "three")]
        for web in made:
            all_of_them.callback(web.close)
        yield {web.name: web for web in made}


def ask(fleet, host, path="/", session=None):
    return (session or requests).get(f"http://127.0.0.1:{fleet.http}{path}", headers={"Host": host}, timeout=60)


def count(fleet, host, n):
    """Who answers n requests."""
    with requests.Session() as session:
        answers = [ask(fleet, host, session=session) for _ in range(n)]
    assert {a.status_code for a in answers} == {200}, [a.status_code for a in answers]
    return collections.Counter(a.text for a in answers)


def make_pool(api, webs, name, *backends, **fields):
    api.post("/api/pools", {"name": name, "health_check": {"enabled": False}, **fields}, expect=201)
    return [api.post("/api/backends", {"address": webs[b].address, "pool": name}, expect=201) for b in backends]


def test_a_route_serves_when_its_creation_is_answered(fleet, webs):
    assert ask(fleet, "first.example").status_code == 404
    make_pool(fleet.api, webs, "first", "one")
    route = fleet.api.post("/api/routes", {"host": "first.example", "path_prefix": "/app", "pool": "first"}, expect=201)
    assert route["status"] == "active"
    assert ask(fleet, "first.example", "/app/x").text == "one"
    assert ask(fleet, "first.example", "/other").status_code == 404
    fleet.api.put(f"/api/routes/{route['id']}", {"path_prefix": "/"})
    assert ask(fleet, "first.example", "/other").text == "one"
    fleet.api.put(f"/api/routes/{route['id']}", {"status": "inactive"})
    eventually(lambda: ask(fleet, "first.example").status_code == 404)  # nobody waits for what is switched off
    fleet.api.put(f"/api/routes/{route['id']}", {"status": "active"})
    assert ask(fleet, "first.example").text == "one"
    fleet.api.delete(f"/api/routes/{route['id']}")
    eventually(lambda: ask(fleet, "first.example").status_code == 404)


def test_weights_drains_and_backends_that_come_and_go(fleet, webs):
    one, two = make_pool(fleet.api, webs, "weights", "one", "two", algorithm="weighted_round_robin")
    fleet.api.post("/api/routes", {"host": "weights.example", "pool": "weights"}, expect=201)
    assert count(fleet, "weights.example", 40) == {"one": 20, "two": 20}
    fleet.api.put(f"/api/backends/{two['id']}", {"weight": 300})
    assert count(fleet, "weights.example", 80) == {"one": 20, "two": 60}
    fleet.api.put(f"/api/backends/{one['id']}", {"weight": 0})
    assert count(fleet, "weights.example", 20) == {"two": 20}
    three = fleet.api.post("/api/backends", {"address": webs["three"].address, "pool": "weights", "weight": 300}, expect=201)
    assert count(fleet, "weights.example", 20) == {"two": 10, "three": 10}
    fleet.api.delete(f"/api/backends/{two['id']}")
    assert count(fleet, "weights.example", 20) == {"three": 20}
    fleet.api.put("/api/pools/weights", {"algorithm": "round_robin"})
    fleet.api.put(f"/api/backends/{one['id']}", {"weight": 300})
    assert count(fleet, "weights.example", 20) == {"one": 10, "three": 10}
    assert fleet.api.get(f"/api/backends/{three['id']}")["weight"] == 300


def test_a_weighted_split_over_pools(fleet, webs):
    make_pool(fleet.api, webs, "stable", "one")
    make_pool(fleet.api, webs, "canary", "two")
    route = fleet.api.post("/api/routes", {"host": "split.example", "targets": [
        {"pool": "stable", "weight": 90}, {"pool": "canary", "weight": 10}]}, expect=201)
    answers = count(fleet, "split.example", 300)
    assert 5 <= answers["two"] <= 70 and answers["one"] + answers["two"] == 300, answers
    fleet.api.put(f"/api/routes/{route['id']}", {"targets": [{"pool": "stable", "weight": 0}, {"pool": "canary", "weight": 1}]})
    assert count(fleet, "split.example", 20) == {"two": 20}


def test_a_route_is_moved_under_load_without_a_failed_request(fleet, webs):
    make_pool(fleet.api, webs, "old", "one")
    make_pool(fleet.api, webs, "new", "two")
    route = fleet.api.post("/api/routes", {"host": "moved.example", "pool": "old"}, expect=201)
    seen, wrong, stop = collections.Counter(), [], threading.Event()

    def load():
        with requests.Session() as session:
            while not stop.is_set():
                try:
                    answer = ask(fleet, "moved.example", session=session)
                    seen[answer.text] += 1
                    if answer.status_code != 200:
                        wrong.append(answer.status_code)
                except requests.RequestException as error:
                    wrong.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        eventually(lambda: seen["one"] > 50, seconds=60)
        for pool, name in (("new", "two"), ("old", "one"), ("new", "two")):
            before = seen[name]
            assert fleet.api.put(f"/api/routes/{route['id']}", {"pool": pool})["status"] == "active"
            eventually(lambda name=name, before=before: seen[name] > before + 50, seconds=60)
            assert count(fleet, "moved.example", 10) == {name: 10}
    finally:
        stop.set()
        for t in threads:
            t.join(20)
    assert wrong == []


def test_a_suspended_tenant_serves_nothing(fleet, webs):
    tenant = fleet.api.post("/api/tenants", {"name": "walled", "dial_allow": ["127.0.0.0/8"], "admin_email": "o@walled.example"},
                            expect=201)
    api = Api(fleet.controld.base)
    api.login("o@walled.example", tenant["admin"]["password"])
    make_pool(api, webs, "theirs", "one")
    api.post("/api/routes", {"host": "walled.example", "pool": "theirs"}, expect=201)
    assert ask(fleet, "walled.example").text == "one"
    path = f"/api/tenants/{tenant['id']}"
    fleet.api.put(path, {"status": "suspended"})
    eventually(lambda: ask(fleet, "walled.example").status_code in (404, 503))
    fleet.api.put(path, {"status": "active"})
    eventually(lambda: ask(fleet, "walled.example").text == "one")
    # without the grant its relays do not dial there any more, nor may it be written
    fleet.api.put(path, {"dial_allow": []})
    eventually(lambda: ask(fleet, "walled.example").status_code in (502, 503))
    api.login("o@walled.example", tenant["admin"]["password"])
    refused = api.post("/api/backends", {"address": "127.0.0.1:1", "pool": "theirs"}, expect=403)
    assert refused["code"] == "TARGET_NOT_ALLOWED"


def test_what_passed_is_counted(fleet, webs):
    tenant = fleet.api.post("/api/tenants", {"name": "counted", "dial_allow": ["127.0.0.0/8"], "admin_email": "o@counted.example"},
                            expect=201)
    api = Api(fleet.controld.base)
    api.login("o@counted.example", tenant["admin"]["password"])
    make_pool(api, webs, "p", "one")
    route = api.post("/api/routes", {"host": "counted.example", "path_prefix": "/", "pool": "p"}, expect=201)
    for i in range(30):
        ask(fleet, "counted.example", "/status/500" if i % 3 == 0 else "/")
    used = eventually(lambda: (u := api.get(f"/api/tenants/{tenant['id']}/usage")) and u["requests_per_month"] == 30 and u, seconds=30)
    assert used["bytes_out"] > 30 * 3
    (top,) = api.get(f"/api/tenants/{tenant['id']}/metrics")["top_endpoints"]
    assert (top["path"], top["host"], top["route"], top["requests"]) == ("/", "counted.example", route["id"], 30)
    assert top["avg_response_time"] > 0
    shown = fleet.api.get(f"/api/tenants/{tenant['id']}")["usage"]
    assert shown["requests_per_month"] == 30 and shown["bandwidth_gb"] > 0
