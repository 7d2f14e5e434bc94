"""What a hosting panel has is read and kept: all of it, nothing twice, whatever the panel does meanwhile, at the rate it allows."""
import json
import random
import threading

import portway
import pytest
from cluster import Cluster
from fake_http import Answer, Fake, Gate
from panels import Pterodactyl, VirtFusion
from portway import eventually
from sync import KINDS, change_at_random, check_same, kept, point_at, start, status, sync, wait

ENV = {"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8", "CONTROLD_PANEL_RATE_LIMIT": "0"}


@pytest.fixture(scope="module")
def control():
    fleet = portway.Fleet(ENV)
    try:
        yield fleet.start(relays=0)
    finally:
        fleet.stop()


@pytest.fixture
def api(control):
    yield control.api
    point_at(control.api, None, virtfusionUrl=None, syncBatchSize=None)


@pytest.fixture
def panel(api):
    with Pterodactyl().fill(locations=3, nodes=30, allocations=90, nests=12, eggs=25, servers=250, users=120, databases=70) as p:
        point_at(api, p)
        yield p


def written(control):
    return control.controld.count("SELECT max(changed_ms) FROM panel_objects"), control.controld.count(
        "SELECT count(*) FROM panel_objects")


def test_all_that_it_has_and_then_only_what_changed(control, api, panel):
    first = sync(api, requested_by="admin@example.com")
    assert first["itemsFailed"] == 0 and first["requestedBy"] == "admin@example.com" and first["type"] == "full"
    assert first["itemsTotal"] == sum(len(panel.has[k]) for k in KINDS) and first["error"] is None
    check_same(api, panel)
    # databases, allocations and eggs came with what they hang on
    assert not [p for p in panel.paths() if p.count("/") > 3]
    counts = api.get("/api/panel/counts")["data"]
    assert counts["totalServers"] >= 250 and counts["totalUsers"] >= 120 and counts["activeUsers"] <= 120

    before = written(control)
    second = sync(api)
    assert (second["itemsChanged"], second["itemsRemoved"]) == (0, 0) and written(control) == before
    assert control.controld.count("SELECT count(*) FROM panel_pages") == 0

    change_at_random(panel, random.Random(3), 0.2, 0.2)
    third = sync(api)
    assert third["itemsChanged"] > 20 and third["itemsRemoved"] > 20
    check_same(api, panel)
    gone = kept(api, "servers", "&removed=true")
    assert gone and all(s["removed_at"] for s in gone) and not {s["id"] for s in gone} & set(panel.has["servers"])
    # what comes back is the same row
    back = gone[0]["id"]
    panel.has["servers"][back] = {**next(iter(panel.has["servers"].values())), "id": back, "name": "back"}
    panel.touch()
    sync(api, "servers")
    check_same(api, panel, ["servers"])


def test_no_secrets_are_kept(control, api, panel):
    sync(api)
    count = control.controld.count
    assert count("SELECT count(*) FROM panel_objects WHERE body LIKE '%very secret%'") == 0
    api.get("/api/v1/panel/servers")
    assert "very secret" not in api.last.text and panel.key not in control.controld.log()
    api.get("/api/admin/sync")
    assert panel.key not in api.last.text and panel.url in api.last.text


def test_only_what_was_asked_for(api, panel):
    sync(api, "locations")
    assert {p.rsplit("/", 1)[1] for p in panel.paths()} == {"locations"}
    sync(api, "users")
    check_same(api, panel, ["locations", "users"])
    panel.requests.clear()
    panel.remove("users", 5)
    sync(api, skip_users=True)
    assert not [p for p in panel.paths() if p.endswith("/users")] and 5 in [u["id"] for u in kept(api, "users")]
    api.post("/api/v1/sync/everything", {}, expect=404)


TROUBLE = {
    "cut in the middle": ["cut"],
    "truncated": ["truncate"],
    "no answer": ["refuse", "cut after"],
    "a web page": [Answer(200, b"<html>Just a moment...</html>", kind="text/html")],
    "empty": [Answer(200)],
    "something else": [Answer(200, b'{"data": {}}'), Answer(200, b'{"object":"list","data":[]}'), Answer(200, b"[]")],
    "504": [Answer(504, b"<html>", kind="text/html"), Answer(502), Answer(500, {"errors": []})],
    "429": [Answer(429, b"Too Many Attempts.", {"Retry-After": "1", "X-RateLimit-Remaining": "0"}), Answer(429, b"", {"Retry-After": "0"})],
    "429 that says nothing": [Answer(429, b"<html>banned</html>", kind="text/html")],
    "slow": [("slow", 0.5)],
}


@pytest.mark.parametrize("what", TROUBLE)
def test_trouble_on_the_way(api, panel, what):
    """A few pages go well, then it begins."""
    panel.faults = [None, None, *TROUBLE[what], None, *TROUBLE[what]]
    done = sync(api)
    assert done["itemsFailed"] == 0
    check_same(api, panel)


def test_an_answer_of_brackets(control, api, panel):
    """A few megabytes that would be hundreds in memory: refused before they are read."""
    panel.faults = [None, None, Answer(200, b'{"object":"list","data":[' + b"[]," * 4_000_000 + b"[]]}")]
    before = control.controld.peak_kib()
    assert "values" in wait(api, start(api), "FAILED")["error"]
    assert control.controld.peak_kib() - before < 150_000


def test_links_as_a_list(api, panel):
    panel.links = []
    sync(api)
    check_same(api, panel)


def test_a_panel_that_includes_nothing(api, panel):
    """An old one: eggs and databases come unpaged, one request for each nest and server; what is not theirs is not touched."""
    panel.includes = set()
    sync(api)
    check_same(api, panel)
    assert len([p for p in panel.paths() if p.endswith("/eggs")]) == 12
    assert len([p for p in panel.paths() if p.endswith("/databases")]) == 250


def test_a_key_that_may_not_read_all(api, panel):
    sync(api)
    panel.denied = {"users", "databases"}
    panel.remove("users", 7)
    panel.remove("databases", 7)
    panel.remove("servers", 249)
    done = sync(api)
    assert "users" in done["error"] and "databases" in done["error"] and done["itemsRemoved"] == 1
    assert 7 in [u["id"] for u in kept(api, "users")] and 7 in [d["id"] for d in kept(api, "databases")]
    check_same(api, panel, ["servers", "nodes", "eggs"])


@pytest.mark.parametrize("what", ["key", "page to log in at", "url"])
def test_settings_that_are_wrong(api, panel, what):
    if what == "key":
        point_at(api, panel, key="ptla_wrong")
    elif what == "url":
        api.post("/api/admin/settings", {"pterodactylUrl": panel.url + "/admin"}, expect=200)
    else:
        panel.faults = [Answer(302, b"<html>", {"Location": "/auth/login"}, "text/html")] * 20
    done = wait(api, start(api), "FAILED")
    assert {"key": "API key", "url": "404", "page to log in at": "302"}[what] in done["error"]
    assert len(panel.requests) < 10, "it is not tried again and again"
    assert panel.key not in done["error"]


def test_no_panel(api):
    done = wait(api, start(api), "FAILED")
    assert "PTERODACTYL_URL" in done["error"]


def test_items_that_cannot_be_read(api, panel):
    """They are counted, the others are kept, and nothing of their kind is taken for gone."""
    sync(api)
    panel.has["users"][3]["id"] = "no number"
    panel.remove("users", 50)
    panel.touch()
    done = sync(api)
    assert done["itemsFailed"] == 1
    assert {3, 50} <= {u["id"] for u in kept(api, "users")}


def test_a_panel_that_changes_while_it_is_read(api, panel):
    """A deletion moves what follows over the edge of a page: the list is read again."""
    sync(api)

    def on_request(request):
        if request.path.endswith("/servers") and request.query.get("page") == "3":
            panel.on_request = None
            for n in range(1, 41):
                panel.remove("servers", n)

    panel.on_request = on_request
    done = sync(api)
    assert done["itemsRemoved"] >= 40
    check_same(api, panel)


def test_one_goes_and_one_comes_while_it_is_read(api, panel):
    """The numbers fit, and yet one was on no page: it moved from the second, which was not read yet, to the first, which was."""
    sync(api)
    first, moved = sorted(panel.has["servers"])[0], sorted(panel.has["servers"])[100]
    done, asked = threading.Event(), []

    def on_request(request):
        if not request.path.endswith("/servers"):
            return
        asked.append(request.query["page"])
        if request.query["page"] == "2" and not done.is_set():
            panel.remove("servers", first)
            panel.add("servers")
            done.set()
        elif request.query["page"] == "3":
            done.wait(30)

    panel.on_request = on_request
    ended = sync(api)
    panel.on_request = None
    assert done.is_set() and len(panel.has["servers"]) == 250
    assert moved in {s["id"] for s in kept(api, "servers")} and first not in {s["id"] for s in kept(api, "servers")}
    check_same(api, panel)
    assert ended["itemsRemoved"] >= 1 and len(asked) >= 3 + 2 + 3  # the walk, the two pages in doubt, the walk once more
    assert panel.has["servers"][moved] and not [s for s in kept(api, "servers", "&removed=true") if s["id"] == moved]


def test_nothing_that_is_there_is_ever_marked(api, panel):
    """A panel on which servers come and go all the time: whatever a sync missed, it calls none gone that was there throughout."""
    rng = random.Random(7)
    sync(api)

    def on_request(request):
        if request.path.endswith("/servers") and rng.random() < 0.5:
            with panel.lock:
                panel.remove("servers", rng.choice(sorted(panel.has["servers"])[:100]))
                panel.add("servers")

    for _ in range(6):
        panel.on_request = on_request
        before = set(panel.has["servers"])
        sync(api, "servers")
        panel.on_request = None
        there = before & set(panel.has["servers"])
        marked = {s["id"] for s in kept(api, "servers", "&removed=true")}
        assert not there & marked
        assert there <= {s["id"] for s in kept(api, "servers")}
    sync(api)
    check_same(api, panel)


def test_one_that_is_asked_for_at_the_end_of_another(control, api, panel):
    """A sync is over a moment before its job is: who asks in between gets a sync that is still to come."""
    for n in range(15):
        first = start(api, "users")
        eventually(lambda i=first: status(api, i)["completedAt"], "its end", 60, every=0.001)
        late = panel.add("users", username=f"late{n}")
        second = start(api, "users")
        assert second != first and wait(api, second)["itemsChanged"] == 1, late
    check_same(api, panel, ["users"])


def test_pelican(api):
    with Pterodactyl(pelican=True).fill(locations=0, nests=1) as p:
        point_at(api, p)
        done = sync(api)
        assert done["itemsFailed"] == 0
        check_same(api, p, ["nodes", "allocations", "eggs", "servers", "users", "databases"])
        assert api.get("/api/admin/sync")["data"]["panels"][0]["name"] == "pelican"


def test_virtfusion(api):
    """Another panel, by another file; and one that fails does not keep the other from being read."""
    with VirtFusion().fill(45) as v, Pterodactyl().fill() as p:
        point_at(api, p, virtfusionUrl=v.url, virtfusionApiKey=v.key, syncBatchSize=20)
        sync(api)
        items = kept(api, "servers", "&panel=virtfusion")
        assert [i["id"] for i in items] == sorted(v.servers) and items[0]["hypervisor_id"] == 2 and items[1]["suspended"]
        check_same(api, p)
        api.post("/api/admin/settings", {"virtfusionApiKey": "wrong"}, expect=200)
        p.remove("servers", 1)
        assert "API key" in wait(api, start(api), "FAILED")["error"]
        check_same(api, p)
        # one that is there no more leaves nothing behind
        point_at(api, p, virtfusionUrl=None)
        assert kept(api, "servers", "&panel=virtfusion")
        assert sync(api)["itemsRemoved"] >= 45 and not kept(api, "servers", "&panel=virtfusion")


def test_what_is_public_and_what_is_not(control, api):
    stranger = portway.Api(control.controld.base)
    assert "totalServers" in stranger.get("/api/panel/counts")["data"]
    for path in ("/api/v1/panel/users", "/api/v1/sync/logs", "/api/admin/sync", "/api/admin/sync/settings"):
        stranger.get(path, expect=401)
    stranger.post("/api/v1/sync/full", {}, expect=401)
    api.get("/api/v1/panel/horses", expect=404)
    api.get("/api/v1/panel/servers?cursor=nonsense", expect=422)


def test_statistics(control, api, panel):
    done = sync(api)
    stranger = portway.Api(control.controld.base)

    def fresh():  # they are some seconds old at most
        told = stranger.get("/api/stats")["data"]
        return {k: told["total" + k] for k in ("Servers", "Users", "Databases", "Eggs")} == {"Servers": 250, "Users": 120, "Databases": 70,
                                                                                            "Eggs": 25}
    eventually(fresh, "numbers of now")
    assert stranger.get("/api/stats")["success"] and "activeUsers" in stranger.get("/api/panel/counts")["data"]
    servers = panel.has["servers"].values()
    rows = api.get("/api/v1/stats/servers")["data"]
    assert rows["suspended"] == len([s for s in servers if s["suspended"]]) and rows["databases"] == 70
    assert sum(n["servers"] for n in rows["byNode"]) == rows["total"] == 250
    top = rows["byNode"][0]
    assert top["servers"] == max(n["servers"] for n in rows["byNode"]) == len([s for s in servers if s["node"] == top["id"]])
    assert top["name"] == panel.has["nodes"][top["id"]]["name"]
    users = api.get("/api/v1/stats/users")["data"]
    assert users["total"] == 120 and users["active"] == len({s["user"] for s in servers}) and len(users["byServers"]) == 50
    overview = api.get("/api/v1/stats/overview")["data"]
    assert overview["lastSync"]["id"] == done["id"] and overview["syncs"]["completed"] >= 1 and overview["totalEggs"] == 25
    assert api.get("/api/admin/stats")["data"]["totalServers"] == 250
    stranger.get("/api/admin/stats", expect=401)


def test_logs(api, panel):
    del panel
    for kind in ("locations", "users", "locations"):
        sync(api, kind)
    logs = api.get("/api/v1/sync/logs?limit=2&type=locations")
    assert logs["success"] and len(logs["data"]) == 2 and logs["total"] >= 2 and logs["limit"] == 2
    assert {s["type"] for s in logs["data"]} == {"locations"}
    older = api.get("/api/admin/sync/logs?limit=1&offset=1")
    assert older["offset"] == 1 and older["data"][0]["type"] == "users"
    api.get("/api/v1/sync/logs?type=horses", expect=422)
    api.get("/api/v1/sync/status/nothing", expect=404)


# ---- the rate that is allowed --------------------------------------------------------------------------------------------


def test_the_rate_is_kept(new_fleet):
    """The panel counts in windows of its own; in none of them there are more than it allows, and it has to refuse nothing."""
    with Pterodactyl(limit=15, seconds=0.5).fill(servers=200, users=100, nodes=10, allocations=20) as p:
        fleet = new_fleet(relays=0, controld_env={**ENV, "PTERODACTYL_URL": p.url, "PTERODACTYL_API_KEY": p.key, "SYNC_BATCH_SIZE": "10",
                                                  "CONTROLD_PANEL_RATE_LIMIT": "15", "CONTROLD_PANEL_RATE_WINDOW": "500ms"})
        sync(fleet.api)
        check_same(fleet.api, p)
        assert len(p.requests) > 30 and p.window.most <= 15 and p.window.refused == 0


def test_a_rate_that_is_less_than_we_thought(new_fleet):
    """Others use the same key: it says so, and is waited for."""
    with Pterodactyl(limit=8, seconds=1).fill(servers=60, users=40) as p:
        fleet = new_fleet(relays=0, controld_env={**ENV, "PTERODACTYL_URL": p.url, "PTERODACTYL_API_KEY": p.key, "SYNC_BATCH_SIZE": "10",
                                                  "CONTROLD_PANEL_RATE_LIMIT": "1000", "CONTROLD_PANEL_RATE_WINDOW": "1s"})
        sync(fleet.api)
        check_same(fleet.api, p)
        assert p.window.most <= 8


# ---- stopping, starting again ---------------------------------------------------------------------------------------------


def test_cancel_within_a_page(control, api, panel):
    api.post("/api/admin/settings", {"syncBatchSize": 5}, expect=200)
    gate = Gate(panel, 12)
    made = start(api)
    gate.wait_full()
    assert api.post("/api/admin/sync/cancel", {}, expect=200)["data"]["id"] == made
    done = wait(api, made, "CANCELLED", 40)  # those that stand before the gate would for longer
    assert gate.came < 30 and done["itemsSynced"] < done["itemsTotal"]
    gate.open()
    eventually(lambda: control.controld.count("SELECT count(*) FROM panel_pages") == 0, "what it had done forgotten")
    api.post(f"/api/v1/sync/cancel/{made}", {}, expect=409)
    api.post("/api/admin/sync/cancel", expect=404)
    sync(api)
    check_same(api, panel)


def test_one_at_a_time(api, panel):
    gate = Gate(panel, 2)
    first = start(api)
    gate.wait_full()
    assert status(api, first)["status"] == "RUNNING" and "secondsLeft" in status(api, first)
    assert start(api) == first, "the same is done once"
    other = start(api, "users")
    assert other != first and status(api, other)["status"] in ("PENDING", "RUNNING")
    assert api.get("/api/admin/sync")["data"]["current"]["id"] == first
    gate.open()
    wait(api, first)
    wait(api, other)
    check_same(api, panel)


def test_killed_in_the_middle(new_fleet):
    """Each time it goes on where it was: no page that was written is read again, and in the end all is there."""
    rng = random.Random(5)
    with Pterodactyl().fill(locations=3, nodes=30, allocations=60, nests=12, eggs=25, servers=200, users=100, databases=50) as p:
        fleet = new_fleet(relays=0, controld_env={**ENV, "PTERODACTYL_URL": p.url, "PTERODACTYL_API_KEY": p.key, "SYNC_BATCH_SIZE": "5",
                                                  "CONTROLD_PANEL_PARALLEL": "3"})
        gate = Gate(p, 7)
        made = start(fleet.api)
        for _ in range(3):
            gate.wait_full()
            fleet.controld.kill()
            gate.let(rng.randrange(4, 20))
            fleet.controld.start()
        gate.open()
        fleet.api.login()
        done = wait(fleet.api, made, seconds=90)
        check_same(fleet.api, p)
        assert done["itemsSynced"] == sum(len(p.has[k]) for k in KINDS) == done["itemsChanged"], "nothing twice, nothing lost"
        asked = [(r.path, r.query.get("page")) for r in p.requests if r.query.get("per_page") != "1"]
        assert len(asked) - len(set(asked)) <= 3 * (3 + 3 + 1), "but for what was under way"


# ---- two controlds ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    """Two controlds that sync one panel: its rate is for both together."""
    with Pterodactyl(limit=15, seconds=1).fill(servers=120, users=60, nodes=10, allocations=20) as p, Cluster(
            env={**ENV, "PTERODACTYL_URL": p.url, "PTERODACTYL_API_KEY": p.key, "SYNC_BATCH_SIZE": "5", "CONTROLD_JOBS_LEASE": "2s",
                 "CONTROLD_PANEL_PARALLEL": "3", "CONTROLD_PANEL_RATE_LIMIT": "15", "CONTROLD_PANEL_RATE_WINDOW": "1s"}) as c:
        yield c.start(relays=0), p


@pytest.mark.skipif(portway.DATABASE == "postgresql", reason="it is on PostgreSQL in any case")
def test_one_rate_for_two_controlds(pair):
    """One has synced and is gone, the other syncs at once: no window sees more than it allows."""
    c, p = pair
    first = start(c.api, "servers")
    wait(c.api, first)
    job = status(c.api, first)["taskId"]
    ran = eventually(lambda: [i for i, d in enumerate(c.controlds) if any("job_ended" in line and job in line for line in
                                                                            d.log().splitlines())], "it is in a log")[0]
    c.controlds[ran].kill()
    wait(c.apis[1 - ran], start(c.apis[1 - ran], "servers"), seconds=60)
    assert p.window.most <= 15 and p.window.refused == 0 and len(p.requests) > 40


@pytest.mark.skipif(portway.DATABASE == "postgresql", reason="it is on PostgreSQL in any case")
def test_a_sync_is_inherited(pair):
    """Whoever runs it is killed, the other goes on at the page that was to come: nothing twice, nothing lost, at the one rate."""
    c, p = pair
    gate = Gate(p, 12)
    made = start(c.api)
    gate.wait_full()
    job = status(c.api, made)["taskId"]
    name = c.server.sql(f"SELECT c.name FROM jobs j JOIN controlds c ON c.id = j.holder WHERE j.id = '{job}'", c.url).strip()
    dead = ord(name) - ord("a")
    c.controlds[dead].kill()
    gate.open()
    other = c.apis[1 - dead]
    done = wait(other, made, seconds=90)
    check_same(other, p)
    assert done["itemsSynced"] == sum(len(p.has[k]) for k in KINDS) == done["itemsChanged"], "nothing twice, nothing lost"
    asked = [(r.path, r.query.get("page")) for r in p.requests if r.query.get("per_page") != "1"]
    assert len(asked) - len(set(asked)) <= 3 + 3 + 1, "but for what was under way"
    assert p.window.most <= 15 and p.window.refused == 0
    log = other.get(f"/api/v1/jobs/{job}/logs?limit=200")["items"]
    assert any("the limit is for all" in line["text"] for line in log), log


# ---- by itself --------------------------------------------------------------------------------------------------------------


def test_by_the_clock(api, panel):
    settings = api.get("/api/admin/sync/settings")["data"]
    assert settings == {"autoSyncEnabled": False, "autoSyncInterval": 3600, "syncBatchSize": 100}
    changed = api.post("/api/admin/sync/settings", {"autoSyncEnabled": True, "autoSyncInterval": 600}, expect=200)["data"]
    assert changed["autoSyncEnabled"] is True and changed["autoSyncInterval"] == 600
    schedule = api.get("/api/v1/schedules/sch_panel_sync")
    assert schedule["cron"] == "@every 600s" and not schedule["paused"] and schedule["next_at"]
    api.post("/api/v1/schedules/sch_panel_sync/run", {}, expect=(200, 202))
    eventually(lambda: api.get("/api/v1/sync/logs?limit=1")["data"][0]["requestedBy"] == "schedule", "the sync")
    eventually(lambda: api.get("/api/v1/sync/logs?limit=1")["data"][0]["status"] == "COMPLETED", "its end")
    check_same(api, panel)
    api.post("/api/admin/sync/settings", {"autoSyncEnabled": False}, expect=200)
    assert api.get("/api/v1/schedules/sch_panel_sync")["paused"]
    api.post("/api/admin/sync/settings", {"autoSyncInterval": 5}, expect=422)


class Hook(Fake):
    def answer(self, request):
        return Answer(204)


def test_it_is_told(api, panel):
    with Hook() as hook:
        made = api.post("/api/webhooks", {"url": hook.url, "events": ["sync.completed"]}, expect=201)
        done = sync(api, "locations")
        del panel
        eventually(lambda: hook.requests, "the webhook")
        said = json.loads(hook.requests[0].body)
        assert said["event"] == "sync.completed" and said["data"]["sync"]["id"] == done["id"]
        assert said["data"]["sync"]["status"] == "COMPLETED"
        api.delete(f"/api/webhooks/{made['id']}")
    told = [c["op"] for c in api.get("/api/v1/audit?limit=200")["items"] if c["subject"] == done["id"]]
    assert sorted(told) == ["completed", "queued", "started"]
