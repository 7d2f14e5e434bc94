"""Changes as they happen: who sees what, going on where one was, what ends a stream."""
import contextlib
import json
import queue
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import requests
from portway import Api, eventually

PASSWORD = "a long password"


class Listener:
    """A stream of events, read by a thread. `next(event)` waits for one."""

    def __init__(self, api, expect=200, headers=None, **params):
        self.answer = requests.get(api.base + "/api/v1/events", params=params, stream=True, timeout=120,
                                   headers={"Authorization": api.session.headers["Authorization"], **(headers or {})})
        assert self.answer.status_code == expect, self.answer.text
        self.events, self.last_id = queue.Queue(), None
        if expect == 200:
            threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        event = {}
        with contextlib.suppress(Exception):
            for line in self.answer.iter_lines(chunk_size=1):
                name, _, value = line.decode().partition(": ")
                if line:
                    event[name] = value
                elif event:
                    if "event" in event:
                        self.events.put((event["event"], json.loads(event["data"]), event["id"]))
                    event = {}
        self.events.put(("end", None, None))

    def next(self, wanted="change", seconds=60):
        event, data, ident = self.events.get(timeout=seconds)
        assert event == wanted, (event, data)
        self.last_id = ident
        return data

    def close(self):
        with contextlib.suppress(Exception):
            self.answer.raw._fp.fp.raw._sock.shutdown(socket.SHUT_RDWR)  # pylint: disable=protected-access
        self.answer.close()


@pytest.fixture(scope="module")
def people(fleet):
    """name -> api: boss and viewer of the tenant red, other of blue."""
    out = {"admin": fleet.api}
    for tenant, users in (("red", (("boss", "owner"), ("viewer", "viewer"))), ("blue", (("other", "owner"),))):
        made = fleet.api.post("/api/v1/tenants", {"name": tenant, "dial_allow": ["127.0.0.0/8"]}, expect=201)
        for name, role in users:
            user = fleet.api.post("/api/v1/users", {"email": f"{name}@{tenant}.example", "username": name, "password": PASSWORD,
                                                    "role": role, "tenant_id": made["id"]}, expect=201)
            out[name] = Api(fleet.controld.base)
            out[name].login(f"{name}@{tenant}.example", PASSWORD)
            out[name].user_id, out[name].tenant_id = user["id"], made["id"]
    return out


def mapping(api, name):
    """Switched off: a picked port that another program has would be changed of its own accord, which is told as well."""
    return api.post("/api/v1/mappings", {"name": name, "protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1", "target_port": 9,
                                         "status": "inactive"}, expect=201)["id"]


def test_who_sees_what(people):
    ears = {name: Listener(people[name]) for name in ("boss", "viewer", "other")}
    ears["admin"] = Listener(people["admin"], kinds="mapping,user")  # else a relay that comes and goes is seen as well
    only = Listener(people["boss"], kinds="user,quota")
    for ear in (*ears.values(), only):
        ear.next("ready")
    ident = mapping(people["boss"], "seen")
    made = people["boss"].post("/api/v1/users", {"email": "new@red.example", "username": "new", "password": PASSWORD}, expect=201)["id"]
    people["boss"].delete(f"/api/v1/mappings/{ident}")
    theirs = mapping(people["other"], "theirs")
    for name in ("boss", "admin"):
        seen = [ears[name].next() for _ in range(3)]
        assert [(s["kind"], s["op"], s["subject"]) for s in seen] == [
            ("mapping", "create", ident), ("user", "create", made), ("mapping", "delete", ident)]
        assert seen[0]["object"]["name"] == "seen" and seen[0]["tenant_id"] == people["boss"].tenant_id
    assert [ears["viewer"].next()["op"] for _ in range(2)] == ["create", "delete"]
    assert ears["other"].next()["subject"] == theirs and ears["admin"].next()["subject"] == theirs
    assert only.next()["subject"] == made
    assert PASSWORD not in json.dumps(seen)
    people["other"].delete(f"/api/v1/mappings/{theirs}")
    for ear in (*ears.values(), only):
        ear.close()
    assert all(e[0] in ("end", "change") for e in list(ears["viewer"].events.queue))


def test_going_on(people):
    ear = Listener(people["boss"], kinds="mapping")
    ear.next("ready")
    first = mapping(people["boss"], "one")
    assert ear.next()["subject"] == first
    ear.close()
    missed = [mapping(people["boss"], f"missed {i}") for i in range(20)]
    for how in ({"headers": {"Last-Event-ID": ear.last_id}}, {"last_event_id": ear.last_id}):
        again = Listener(people["boss"], kinds="mapping", **how)
        again.next("ready")
        assert [again.next()["subject"] for _ in missed] == missed
        again.close()
    for ident in (first, *missed):
        people["boss"].delete(f"/api/v1/mappings/{ident}")
    other = Listener(people["boss"], last_event_id="00000000-1")
    assert other.next("log_gap") == {"reason": "another_log"}
    other.next("ready")
    other.close()
    for bad in ("x", "1", "00000000-", "00000000-x"):
        assert Listener(people["boss"], expect=422, last_event_id=bad).answer.json()["details"]["field"] == "last_event_id"


def test_rights_that_end(people):
    people["admin"].post("/api/v1/users", {"email": "gone@red.example", "username": "gone", "password": PASSWORD, "role": "operator",
                                           "tenant_id": people["boss"].tenant_id}, expect=201)
    gone = Api(people["boss"].base)
    gone.login("gone@red.example", PASSWORD)
    me = gone.get("/auth/me")["data"]["id"]
    ear = Listener(gone)
    ear.next("ready")
    people["boss"].put(f"/api/v1/users/{me}", {"role": "viewer"})
    assert ear.next("closed")["code"] == "RIGHTS_CHANGED"
    ear.next("end")
    ear = Listener(gone)
    ear.next("ready")
    began = time.monotonic()
    people["boss"].put(f"/api/v1/users/{me}", {"status": "suspended"})
    assert ear.next("closed")["code"]
    ear.next("end")
    assert time.monotonic() - began < 10
    Listener(gone, expect=401)
    people["viewer"].get("/api/v1/mappings")


def test_settings_are_told(people):
    """Who watches the settings of the platform hears of a change; nobody of a tenant does."""
    watcher, tenant = Listener(people["admin"], kinds="config"), Listener(people["boss"], kinds="config,mapping")
    watcher.next("ready")
    tenant.next("ready")
    people["admin"].put("/api/v1/config", {"settings": {"clients.max": 77}})
    told = watcher.next()
    assert (told["kind"], told["op"]) == ("config", "update") and "clients.max" in json.dumps(told)
    people["admin"].put("/api/v1/config", {"settings": {"clients.max": None}})
    ident = mapping(people["boss"], "only this")
    assert tenant.next()["subject"] == ident
    people["boss"].delete(f"/api/v1/mappings/{ident}")
    watcher.close()
    tenant.close()


def metric(api, name):
    return next(float(line.split()[1]) for line in api.get("/metrics").splitlines() if line.startswith(name + " "))


def test_not_too_many(people, fleet):
    api = people["other"]
    ears = [Listener(api) for _ in range(10)]
    refused = Listener(api, expect=429).answer.json()
    assert "streams_per_user_max" in refused["message"]
    assert metric(fleet.api, "events_streams") >= 10
    for ear in ears:
        ear.close()
    eventually(lambda: metric(fleet.api, "events_streams") == 0, "all streams gone")
    Listener(api).close()


def test_who_does_not_read_is_dropped(new_fleet):
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_EVENTS_QUEUE_MAX": "32KiB"})
    token = fleet.api.session.headers["Authorization"]
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", urlsplit(fleet.controld.base).port))
        s.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n".encode())
        assert s.recv(12) == b"HTTP/1.1 200"
        ident = fleet.mapping(9, active=False)["id"]
        for i in range(5000):
            fleet.api.put(f"/api/v1/mappings/{ident}", {"description": f"{i} " + "x" * 1000})
            if metric(fleet.api, "events_streams_dropped_total") == 1:
                break
        assert metric(fleet.api, "events_streams_dropped_total") == 1
        eventually(lambda: metric(fleet.api, "events_streams") == 0, "the stream has gone")
    ear = Listener(fleet.api)
    ear.next("ready")
    fleet.controld.stop()
    assert "http_stop_forced" not in fleet.controld.log(), "a stream does not hold the end up"
    ear.next("end")
