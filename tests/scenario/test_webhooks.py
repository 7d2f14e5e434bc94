"""Webhooks: changes are posted, signed, in order and at least once; to nobody else; a dead endpoint is paused."""
import contextlib
import hashlib
import hmac
import json
import socket
import subprocess
import threading
import time

import portway
import pytest
from portway import Api, eventually
from webhook_rounds import repeated
from webhooks import Receiver

PASSWORD = "a long password"
SECRET = "your_webhook_secret"
QUICK = {"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8", "CONTROLD_WEBHOOKS_RETRY": "20ms", "CONTROLD_WEBHOOKS_RETRY_MAX": "100ms",
         "CONTROLD_WEBHOOKS_ATTEMPTS": "5"}


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


@pytest.fixture(scope="module")
def control():
    """One controld whose outbound calls may reach this machine, and its administrator."""
    fleet = portway.Fleet(QUICK)
    try:
        yield fleet.start(relays=0)
    finally:
        fleet.stop()


def hook(api, receiver, events=("client.*",), **more):
    return api.post("/api/webhooks", {"url": receiver.url, "events": list(events), "secret": SECRET, "enabled": True, **more},
                    expect=201)


def client(api, name):
    return api.post("/api/v1/clients", {"name": name}, expect=201)


def attempts(api, made, n):
    """The log of deliveries as (state, status, attempts), the oldest first, when n of them have ended."""
    def ended():
        log = api.get(f"/api/webhooks/{made['id']}/deliveries")["items"]
        return len(log) == n and all(d["ended_at"] for d in log) and [(d["state"], d["status"], d["attempts"]) for d in log[::-1]]

    return eventually(ended, "the log of deliveries")


def names(receiver):
    return [b["data"]["client"]["name"] for b in receiver.taken("client.created")]


def test_a_change_is_posted_and_its_signature_is_right(control, receiver, tmp_path):
    api = control.api
    made = hook(api, receiver)
    assert "secret" not in made and made["status"] == "active"
    thing = client(api, "signed")
    eventually(lambda: names(receiver) == ["signed"], "the delivery")
    _, headers, body = receiver.got[0]
    said = json.loads(body)
    assert said["event"] == "client.created" and said["data"]["subject"] == str(thing["id"])
    assert said["tenant_id"] == made["tenant_id"] and said["timestamp"].endswith("Z") and "signature" not in said
    # python's HMAC, and openssl's
    wanted = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-VeloFlux-Signature"] == f"sha256={wanted}"
    (tmp_path / "body").write_bytes(body)
    out = subprocess.run(["openssl", "dgst", "-sha256", "-hmac", SECRET, str(tmp_path / "body")], capture_output=True, text=True,
                         check=True).stdout
    assert out.split()[-1] == wanted
    stamp = headers["X-Portway-Timestamp"]
    timed = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["X-Portway-Signature"] == f"v1={timed}"
    assert headers["X-Portway-Event"] == "client.created" and headers["X-Portway-Attempt"] == "1"
    assert attempts(api, made, 1) == [("delivered", 204, 1)]
    assert api.get(f"/api/webhooks/{made['id']}/deliveries")["items"][0]["id"] == headers["X-Portway-Delivery"]
    # what is deleted is told nothing more
    api.delete(f"/api/webhooks/{made['id']}")
    api.get(f"/api/webhooks/{made['id']}", expect=404)


def test_secrets_are_not_in_the_database_nor_shown(control, receiver):
    url = receiver.url + "?token=very-secret-token"
    made = control.api.post("/api/webhooks", {"url": url, "events": ["webhook.*"]}, expect=201)
    assert made["secret"].startswith("whs_") and made["url"].endswith("/hook?***")
    control.api.get(f"/api/webhooks/{made['id']}")
    assert "very-secret" not in control.api.last.text and made["secret"] not in control.api.last.text
    # sent back as it was shown, it stays what it was
    control.api.put(f"/api/webhooks/{made['id']}", {"url": made["url"], "name": "renamed"})
    assert control.api.post(f"/api/webhooks/{made['id']}/test", {})["delivered"]
    count = control.controld.count
    assert count("SELECT count(*) FROM changes WHERE object LIKE '%very-secret%'") == 0
    assert count(f"SELECT count(*) FROM webhooks WHERE url_shown LIKE '%very-secret%' OR secret LIKE '%{made['secret'][4:]}%'") == 0
    assert "very-secret" not in control.controld.log()
    control.api.delete(f"/api/webhooks/{made['id']}")


def test_order_is_kept_while_attempts_fail(control, receiver):
    receiver.answers = [(500, {}), (204, {}), (503, {}), (429, {"Retry-After": "0"}), (302, {"Location": "/x"})]
    made = hook(control.api, receiver, ["client.created"])
    wanted = [f"c{n}" for n in range(12)]
    for name in wanted:
        client(control.api, name)
    eventually(lambda: len(names(receiver)) == 12, "all deliveries")
    assert names(receiver) == wanted
    log = attempts(control.api, made, 12)
    assert [n for _, _, n in log] == [2, 4] + [1] * 10 and {state for state, _, _ in log} == {"delivered"}
    control.api.delete(f"/api/webhooks/{made['id']}")


def test_a_tenant_does_not_speak_for_the_platform(control, receiver):
    """Its own events go to the platform's webhooks, which could not tell one of these from a real one."""
    control.api.post("/api/v1/users", {"email": "liar@example.com", "password": PASSWORD, "role": "owner"}, expect=201)
    liar = control.controld.api()
    liar.login("liar@example.com", PASSWORD)
    made = control.api.post("/api/admin/settings/webhooks", {"name": "all", "webhookUrl": receiver.url, "events": ["*"]}, expect=201)
    for event in ("master_key.rotated", "setting.updated", "node.offline"):
        body = {"event": event, "data": {"subject": "platform", "actor": "system"}}
        assert "platform" in liar.post("/api/v1/webhook/dispatch", body, expect=403)["message"]
    liar.post("/api/v1/webhook/dispatch", {"event": "shop.opened", "data": {}}, expect=202)
    control.api.post("/api/v1/webhook/dispatch", {"event": "node.offline", "data": {"by": "hand"}}, expect=202)
    eventually(lambda: receiver.taken("node.offline"), "the platform's own")
    assert [b["event"] for b in receiver.taken() if b["event"].split(".")[0] in ("master_key", "setting", "node", "shop")] == [
        "shop.opened", "node.offline"]
    control.api.call("DELETE", "/api/admin/settings/webhooks", {"id": made["data"]["id"]}, expect=204)


def test_what_is_sent_by_hand_says_so(control, receiver):
    """Its name and its data may be those of a real one; nothing in its data changes what it says of its origin."""
    made = hook(control.api, receiver, ["client.created"])
    forged = {"subject": "1", "actor": "system", "origin": "system", "sent_by": "nobody"}
    control.api.post("/api/v1/webhook/dispatch", {"event": "client.created", "data": forged}, expect=202)
    client(control.api, "real")
    eventually(lambda: len(receiver.got) == 2, "both")
    by_hand, real = receiver.taken("client.created")
    assert by_hand["origin"] == "manual" and by_hand["data"] == forged
    me = control.api.get("/api/v1/audit?kind=event&limit=1")["items"][0]["actor"]
    assert by_hand["sent_by"] == me and me != "system"
    assert real["origin"] == "system" and "sent_by" not in real
    control.api.delete(f"/api/webhooks/{made['id']}")


class Slow:
    """In the place of an event that a receiver waits for."""

    def __init__(self, seconds):
        self.seconds = seconds

    def wait(self, _):
        time.sleep(self.seconds)

    def set(self):
        self.seconds = 0


def test_a_slow_one_takes_no_sender_from_others(new_fleet, receiver):
    """It answers, so it is not paused; with one sender the others have their turn all the same."""
    api = new_fleet(relays=0, controld_env={**QUICK, "CONTROLD_WEBHOOKS_SENDERS": "1"}).api
    other = Receiver()
    try:
        receiver.hold = Slow(0.5)
        hook(api, receiver, ["client.created"])
        for n in range(30):
            client(api, f"s{n}")
        eventually(lambda: len(receiver.got) >= 2, "it has begun")
        hook(api, other, ["client.created"])
        client(api, "quick")
        eventually(lambda: names(other) == ["quick"], "the other one")
        assert len(receiver.got) < 30, "before the slow one has had all of its own"
        receiver.hold.set()
        eventually(lambda: names(receiver) == [f"s{n}" for n in range(30)] + ["quick"], "the rest in order")
    finally:
        other.close()


def test_slow_ones_of_a_tenant_leave_senders_to_others(new_fleet, receiver):
    """All its webhooks are slow and well, as many as it may have: another tenant's is told as soon as ever."""
    fleet = new_fleet(relays=0, controld_env={**QUICK, "CONTROLD_WEBHOOKS_TIMEOUT": "60s"})
    tenant = fleet.api.post("/api/v1/tenants", {"name": "neighbour"}, expect=201)
    fleet.api.post("/api/v1/users", {"email": "n@example.com", "password": PASSWORD, "role": "owner", "tenant_id": tenant["id"]},
                   expect=201)
    neighbour, other = fleet.controld.api(), Receiver()
    neighbour.login("n@example.com", PASSWORD)
    try:
        hook(neighbour, other, ["client.created"])
        receiver.hold = threading.Event()  # until the neighbour's was told
        for _ in range(50):
            hook(fleet.api, receiver, ["client.created"])
        client(fleet.api, "slow")
        eventually(lambda: len(receiver.got) >= 4, "it has begun")
        time.sleep(0.5)
        client(neighbour, "quick")
        eventually(lambda: names(other) == ["quick"], "the neighbour's", seconds=20)
        assert len(receiver.got) == 4  # of 8
        receiver.hold.set()
        eventually(lambda: names(receiver) == ["slow"] * 50, "the rest", seconds=60)
    finally:
        other.close()


def test_tests_of_a_slow_one_hold_no_login_up(new_fleet, receiver):
    fleet = new_fleet(relays=0, controld_env={**QUICK, "CONTROLD_WEBHOOKS_TIMEOUT": "60s"})
    made = hook(fleet.api, receiver)
    receiver.hold = threading.Event()
    key = fleet.api.session.headers["Authorization"]

    def test():
        api = Api(fleet.controld.base)
        api.session.headers["Authorization"] = key
        api.post(f"/api/webhooks/{made['id']}/test", {}, expect=200, timeout=60)

    threads = [threading.Thread(target=test) for _ in range(6)]
    for t in threads:
        t.start()
    try:
        eventually(lambda: len(receiver.got) >= 4, "they wait for it")
        fleet.controld.api()
        assert all(t.is_alive() for t in threads), "they wait still"
    finally:
        receiver.hold.set()
        for t in threads:
            t.join()


@contextlib.contextmanager
def silent_name_server(folder):
    """What a controld is run by, so that it asks one that says nothing."""
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        asked.bind(("127.66.0.1", 53))
        subprocess.run(["unshare", "--mount", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        asked.close()
        pytest.skip("this machine gives no mount namespaces, or not that port")
    (folder / "resolv.conf").write_text("nameserver 127.66.0.1\n")
    with asked:
        yield ["unshare", "--mount", "sh", "-c", f'mount --bind {folder}/resolv.conf /etc/resolv.conf && exec "$0"']


def test_a_name_that_nobody_answers_for_holds_no_others_up(receiver, tmp_path):
    with silent_name_server(tmp_path) as wrap:
        fleet = portway.Fleet(QUICK)
        fleet.controld.wrap = wrap
        try:
            api = fleet.start(relays=0).api
            good = hook(api, receiver, ["client.created"])
            hook(api, receiver, ["mapping.created"], url="http://silent.example/")
            api.post("/api/v1/mappings", {"protocol": "tcp", "target_host": "127.0.0.1", "target_port": 9}, expect=201)
            took, until = [], time.monotonic() + 8  # the call is given up after 5 s, and the resolver goes on
            while time.monotonic() < until:
                begin = time.monotonic()
                assert api.post(f"/api/webhooks/{good['id']}/test", {}, expect=200)["delivered"]
                took.append(time.monotonic() - begin)
                time.sleep(0.3)
            # the machine may have held up one of them; what the resolver holds up is each, or one for as long as the call
            took.sort()
            assert took[-2] < 2 and took[-1] < 4.5, took
        finally:
            fleet.stop()


def test_a_body_that_is_refused_holds_nothing_up(control, receiver):
    receiver.answers = [(422, {})]
    made = hook(control.api, receiver, ["client.created"])
    client(control.api, "refused")
    client(control.api, "taken")
    eventually(lambda: names(receiver) == ["taken"], "the second one")
    assert attempts(control.api, made, 2) == [("refused", 422, 1), ("delivered", 204, 1)]
    control.api.delete(f"/api/webhooks/{made['id']}")


def test_retry_after_is_waited_for(control, receiver):
    receiver.answers = [(503, {"Retry-After": "3600"})]
    made = hook(control.api, receiver, ["client.created"])
    client(control.api, "later")
    path = f"/api/webhooks/{made['id']}"
    eventually(lambda: control.api.get(path)["failures"] == 1, "the failure")
    for n in range(3):  # what comes meanwhile waits behind it
        client(control.api, f"behind {n}")
    eventually(lambda: control.api.get(path)["waiting"] == 4, "the queue")
    assert len(receiver.got) == 1 and control.api.get(path)["last_status"] == 503
    control.api.put(path, {"enabled": True})  # at once
    eventually(lambda: names(receiver) == ["later", "behind 0", "behind 1", "behind 2"], "the rest")
    control.api.delete(path)


def test_a_dead_endpoint_is_paused_and_loses_nothing(control, receiver):
    other = Receiver()
    receiver.answers = [(500, {})] * 5
    watcher = hook(control.api, other, ["webhook.pause"])
    made = hook(control.api, receiver, ["client.created"])
    path = f"/api/webhooks/{made['id']}"
    client(control.api, "one")
    eventually(lambda: control.api.get(path)["status"] == "paused", "the pause")
    assert control.api.get(path)["paused_reason"] == "5 attempts in a row failed"
    eventually(lambda: [b["data"]["subject"] for b in other.taken()] == [made["id"]], "word of it")
    assert "webhook_paused" in control.controld.log()
    client(control.api, "two")
    eventually(lambda: control.api.get(path)["waiting"] == 2, "the queue")
    assert len(receiver.got) == 5
    control.api.put(path, {"enabled": True})
    eventually(lambda: names(receiver) == ["one", "two"], "what waited")
    # one that says that it is gone is believed
    receiver.answers = [(410, {})]
    client(control.api, "three")
    eventually(lambda: control.api.get(path)["paused_reason"] == "the endpoint answered 410", "the pause")
    control.api.delete(path)
    control.api.delete(f"/api/webhooks/{watcher['id']}")
    other.close()


def test_another_tenant_is_told_nothing(control, receiver):
    tenant = control.api.post("/api/v1/tenants", {"name": "blue"}, expect=201)
    for name, role in (("owner", "owner"), ("viewer", "viewer")):
        control.api.post("/api/v1/users", {"email": f"{name}@blue.example", "username": f"blue-{name}", "password": PASSWORD,
                                           "role": role, "tenant_id": tenant["id"]}, expect=201)
    owner, viewer = Api(control.controld.base), Api(control.controld.base)
    owner.login("owner@blue.example", PASSWORD)
    viewer.login("viewer@blue.example", PASSWORD)
    viewer.post("/api/webhooks", {"url": receiver.url, "events": ["*"]}, expect=403)
    mine = hook(owner, receiver, ["*"])
    other = Receiver()
    foreign = hook(control.api, other, ["*"])
    client(control.api, "not for blue")
    eventually(lambda: "not for blue" in names(other), "the other's")
    client(owner, "for blue")
    eventually(lambda: names(receiver) == ["for blue"], "its own")
    assert {b["tenant_id"] for b in receiver.taken()} == {tenant["id"]}
    assert tenant["id"] not in {b["tenant_id"] for b in other.taken()}
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries")):
        owner.call(method, f"/api/webhooks/{foreign['id']}{path}", {} if method in ("PUT", "POST") else None)
        assert owner.last.status_code == 404, (method, path)
    assert [w["id"] for w in owner.get("/api/webhooks")["items"]] == [mine["id"]]
    owner.delete(f"/api/webhooks/{mine['id']}")
    control.api.delete(f"/api/webhooks/{foreign['id']}")
    other.close()


def test_what_is_wrong_is_said(control):
    def post(**body):
        return control.api.post("/api/webhooks", body, expect=(400, 403, 422))

    post(events=["*"])
    post(url="http://127.0.0.1/", events=[])
    post(url="http://127.0.0.1/", events=["Client Created"])
    post(url="ftp://example.com/", events=["*"])
    post(url="http://10.1.2.3/", events=["*"])
    post(url="http://169.254.169.254/latest", events=["*"])
    post(url="http://127.0.0.1/", events=["*"], secret="short")
    assert control.api.get("/api/webhooks")["items"] == []


def test_while_it_is_disabled_nothing_is_kept(control, receiver):
    made = hook(control.api, receiver, ["client.created"], enabled=False)
    path = f"/api/webhooks/{made['id']}"
    client(control.api, "unseen")
    control.api.put(path, {"enabled": True})
    client(control.api, "seen")
    eventually(lambda: names(receiver) == ["seen"], "the delivery")
    control.api.delete(path)


def test_counters(control):
    text = control.api.session.get(control.controld.base + "/metrics", timeout=10).text
    for name in ('webhooks_attempts_total{outcome="delivered"}', "webhooks_queued_total", "webhooks_waiting", "webhooks_paused",
                 "outbound_calls_total", "outbound_denied_total"):
        assert name in text, name


def test_kill_9_loses_nothing(new_fleet, receiver):
    # where others may be on the database, the queue of one that died is held up for as long as a call may take
    fleet = new_fleet(relays=0, controld_env={**QUICK, "CONTROLD_WEBHOOKS_TIMEOUT": "1s", "CONTROLD_WEBHOOKS_ATTEMPTS": "1000"})
    hook(fleet.api, receiver, ["client.created"])
    wanted = []
    for part in range(4):
        receiver.hold = threading.Event() if part % 2 == 0 else None  # in the middle of a call, or of some
        before = len(receiver.got)
        for n in range(10):
            wanted.append(f"{part}-{n}")
            client(fleet.api, wanted[-1])
        if receiver.hold:
            eventually(lambda before=before: len(receiver.got) > before, "a call", seconds=60)
        fleet.controld.kill()
        if receiver.hold:
            receiver.hold.set()
        fleet.controld.start()
        eventually(lambda: fleet.controld.ready(), "controld")  # pylint: disable=unnecessary-lambda
        fleet.api.login()
    receiver.hold = None
    eventually(lambda: set(names(receiver)) == set(wanted), "all deliveries", seconds=60)
    seen = names(receiver)
    assert list(dict.fromkeys(seen)) == wanted, "in order, but for repetitions"
    assert repeated(receiver) <= 4, "one that was being sent, at most, for each kill"
