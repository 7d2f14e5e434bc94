"""A panel of 50 locations, 500 nodes, 20,000 allocations, 50 nests, 500 eggs, 10,000 servers, 10,000 users and 5,000 databases: how long a
sync takes, how often it asks, what it needs; and fifty kills while it goes on."""
import random
import time

from fake_http import Gate
from panels import Pterodactyl
from sync import KINDS, change_at_random, check_same, start, status, sync, wait

ENV = {"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8", "CONTROLD_HTTP_RATE_LIMIT": "0", "CONTROLD_PANEL_RATE_LIMIT": "0"}
BIG = {"locations": 50, "nodes": 500, "allocations": 20000, "nests": 50, "eggs": 500, "servers": 10000, "users": 10000, "databases": 5000}


def env(panel, **more):
    return {**ENV, "PTERODACTYL_URL": panel.url, "PTERODACTYL_API_KEY": panel.key, **more}


def timed(api, panel, what):
    panel.requests.clear()
    begin = time.monotonic()
    done = sync(api, seconds=600)
    print(f"{what}: {time.monotonic() - begin:.1f} s, {len(panel.requests)} requests, {done['itemsTotal']} objects, "
          f"{done['itemsChanged']} written, {done['itemsRemoved']} removed")
    return done


def test_a_big_panel(new_fleet):
    with Pterodactyl().fill(**BIG) as panel:
        fleet = new_fleet(relays=0, controld_env=env(panel))
        before = fleet.controld.rss_kib()
        first = timed(fleet.api, panel, "all of it")
        assert first["itemsChanged"] == first["itemsTotal"] == sum(BIG.values())
        assert len([r for r in panel.requests if "databases" in r.query.get("include", "")]) == 100
        print(f"memory: {before} KiB before, {fleet.controld.rss_kib()} KiB after, {fleet.controld.peak_kib()} KiB at most")
        rows = "SELECT coalesce(sum(changed_ms), 0) FROM panel_objects"
        was = fleet.controld.count(rows)
        again = timed(fleet.api, panel, "once more")
        assert (again["itemsChanged"], again["itemsRemoved"]) == (0, 0) and fleet.controld.count(rows) == was
        change_at_random(panel, random.Random(9), additions=100)
        timed(fleet.api, panel, "after edits, removals and additions")
        check_same(fleet.api, panel)
        begin = time.monotonic()
        fleet.api.get("/api/panel/counts")
        print(f"counts: {(time.monotonic() - begin) * 1000:.1f} ms")


def test_at_its_rate(new_fleet):
    """A window of 2 s in the place of 60: as many in it as the panel allows, and no more."""
    with Pterodactyl(limit=40, seconds=2).fill(**BIG) as panel:
        fleet = new_fleet(relays=0, controld_env=env(panel, CONTROLD_PANEL_RATE_LIMIT="40", CONTROLD_PANEL_RATE_WINDOW="2s"))
        timed(fleet.api, panel, "40 in 2 s")
        print(f"at most {panel.window.most} in a window, {panel.window.refused} refused")
        assert panel.window.most <= 40 and panel.window.refused == 0
        check_same(fleet.api, panel, ["servers", "databases"])


def test_fifty_kills(new_fleet):
    rng = random.Random(50)
    size = {kind: n // 20 for kind, n in BIG.items()}
    with Pterodactyl().fill(**{**size, "locations": 5, "nests": 5}) as panel:
        fleet = new_fleet(relays=0, controld_env=env(panel, SYNC_BATCH_SIZE="3", CONTROLD_PANEL_PARALLEL="3"))
        gate = Gate(panel, 5)
        made = start(fleet.api)
        kills = 0
        while kills < 50:
            gate.wait_full(60)
            time.sleep(rng.random() * 0.01)  # anywhere between two pages
            fleet.controld.kill()
            gate.let(rng.randrange(3, 10))
            fleet.controld.start()
            kills += 1
        gate.open()
        fleet.api.login()
        assert status(fleet.api, made)["status"] in ("RUNNING", "PENDING")
        done = wait(fleet.api, made, seconds=200)
        check_same(fleet.api, panel)
        total = sum(len(panel.has[k]) for k in KINDS)
        assert done["itemsSynced"] == done["itemsChanged"] == total, "nothing twice, nothing lost"
        asked = [(r.path, r.query.get("page")) for r in panel.requests if r.query.get("per_page") != "1"]
        print(f"{kills} kills, {total} objects, {len(set(asked))} pages, {len(asked) - len(set(asked))} of them asked for again")
