"""Jobs, and syncs of panels, when the machine is in trouble: a disk that is full, a clock that is set."""
import os
import random
import struct
import subprocess
import time

import portway
import pytest
from fake_http import Gate
from panels import Pterodactyl
from portway import DATABASE, eventually
from sync import change_at_random, check_same, start, sync, wait
from webhooks import Receiver

PANEL = {"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8", "CONTROLD_PANEL_RATE_LIMIT": "0", "SYNC_BATCH_SIZE": "10"}
LIB = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib")
DAY = 24 * 3600


def work(api, **args):
    return api.post("/api/v1/jobs", {"kind": "check", "args": args}, expect=202)["id"]


def state(api, job):
    return api.get(f"/api/v1/jobs/{job}")


def finished(api, job, seconds=90):
    return eventually(lambda: (j := state(api, job))["state"] == "completed" and j, "the job's end", seconds)


def lines(api, job):
    return [i["text"] for i in api.get(f"/api/v1/jobs/{job}/logs?limit=200")["items"] if i["text"].startswith("step ")]


# ---- a disk that is full ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    path = folder / "filler"
    with open(path, "wb", buffering=0) as f:
        for size in (65536, 1):
            try:
                while True:
                    f.write(b"\0" * size)
            except OSError:
                pass
    return path


@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL's disk is another")
def test_a_full_disk(new_fleet, small_disk):
    """What is written down stays, what could not be is done again: each step once, each object once, nothing lost."""
    with Pterodactyl().fill(servers=60, users=40) as panel:
        fleet = new_fleet(relays=0, controld_env={**PANEL, "PTERODACTYL_URL": panel.url, "PTERODACTYL_API_KEY": panel.key,
                                                  "CONTROLD_DATA_DIR": str(small_disk / "controld")})
        api = fleet.api
        job = work(api, steps=120, step_ms=20)
        gate = Gate(panel, 4)
        made = start(api)
        gate.wait_full()
        eventually(lambda: state(api, job)["progress"]["done"] > 5, "some steps")
        filler = fill(small_disk)
        gate.open()
        eventually(lambda: "job_ended" in fleet.controld.log() or "job_end_not_written" in fleet.controld.log() or
                   "full" in fleet.controld.log(), "trouble is told", 30)
        assert fleet.controld.alive() and state(api, job)["id"] == job, "reading goes on"
        refused = api.post("/api/v1/jobs", {"kind": "check", "args": {"label": "x" * 200}}, expect=(202, 503, 507))
        os.remove(filler)
        done = finished(api, job)
        assert done["result"] == {"steps": 120} and lines(api, job) == [f"step {n}" for n in range(1, 121)]
        wait(api, made, seconds=120)
        check_same(api, panel)
        if "id" in refused:
            finished(api, refused["id"])
        finished(api, work(api, steps=3))


# ---- a clock that is set --------------------------------------------------------------------------------------------------


class Clock:
    """The time of day of one controld, which can be set while it runs."""

    def __init__(self, folder):
        self.path, self.library = os.path.join(folder, "offset"), os.path.join(folder, "wall_clock.so")
        self.set(0)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", self.library, os.path.join(LIB, "preload", "wall_clock.c"), "-ldl"],
                       check=True)

    def set(self, seconds):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:
            f.write(struct.pack("=q", seconds))

    def env(self):
        """A sanitizer's own library has to come first."""
        asan = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
        needs = subprocess.run(["ldd", os.path.join(portway.BIN, "controld")], capture_output=True, text=True, check=True).stdout
        preload = [os.path.realpath(asan)] if "libasan" in needs else []
        return {"LD_PRELOAD": " ".join([*preload, self.library]), "PORTWAY_TEST_CLOCK": self.path}


@pytest.mark.parametrize("by", [DAY, -DAY])
def test_a_clock_that_is_set(new_fleet, tmp_path, by):
    """A day on, a day back: what runs goes on, nothing waits for as long, nothing runs as often as the clock would have it, and people
    log in."""
    clock = Clock(str(tmp_path))
    fleet = new_fleet(relays=0, controld_env=clock.env())
    api = fleet.api
    before = api.get("/health")["timestamp"]
    every = api.post("/api/v1/schedules", {"name": "often", "kind": "check", "cron": "@every 1s", "missed": "run_once"}, expect=201)

    def runs():
        return fleet.controld.count(f"SELECT count(*) FROM jobs WHERE schedule_id = '{every['id']}'")

    def goes_on():
        ran = runs()
        eventually(lambda: runs() > ran + 1, "the schedule goes on")

    goes_on()
    job = work(api, steps=60, step_ms=50)
    eventually(lambda: state(api, job)["progress"]["done"] > 5, "some steps")
    again = work(api, failures=2)
    eventually(lambda: state(api, again)["failures"] > 0, "its first failure", every=0.01)
    ran, began = runs(), time.monotonic()
    clock.set(by)
    api.login()  # what was issued before may have ended
    assert api.get("/health")["timestamp"][:10] != before[:10]
    finished(api, again)
    done = finished(api, job)
    assert lines(api, job) == [f"step {n}" for n in range(1, 61)] and done["failures"] == 0
    finished(api, work(api, steps=1))
    goes_on()
    assert runs() <= ran + 5 + time.monotonic() - began, "a day has 86,400 seconds, and one run made up for them"
    clock.set(0)
    api.login()
    finished(api, work(api, steps=1))
    goes_on()


@pytest.mark.parametrize("by", [DAY, -DAY, -300])
def test_webhooks_while_a_clock_is_set(new_fleet, tmp_path, by):
    """Of one that has just been served, and of one whose attempts fail: neither waits for as long as the clock was set back."""
    clock, well, ill = Clock(str(tmp_path)), Receiver(), Receiver()
    try:
        fleet = new_fleet(relays=0, controld_env={"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8", "CONTROLD_WEBHOOKS_RETRY": "2s", **clock.env()})
        api = fleet.api
        for receiver in (well, ill):
            api.post("/api/webhooks", {"url": receiver.url, "events": ["client.created"], "secret": "a secret of ours"}, expect=201)
        for n, to in enumerate((by, 0), 1):
            ill.answers = [(500, {})]
            api.post("/api/v1/clients", {"name": f"before {n}"}, expect=201)
            eventually(lambda: not ill.answers and len(well.taken()) == 2 * n - 1, "one is told, one has failed")
            clock.set(to)
            api.login()
            api.post("/api/v1/clients", {"name": f"after {n}"}, expect=201)
            for receiver in (well, ill):
                eventually(lambda r=receiver: len({b["id"] for b in r.taken()}) == 2 * n, "both are told of both", 60)  # not a day, and not five minutes
    finally:
        well.close()
        ill.close()


@pytest.mark.parametrize("by", [DAY, -DAY])
def test_syncs_while_a_clock_is_set(new_fleet, tmp_path, by):
    """In the middle of one, and between them: what is kept is what the panel has, each time."""
    clock, rng = Clock(str(tmp_path)), random.Random(by)
    with Pterodactyl().fill(servers=60, users=60, databases=40, nodes=10, allocations=60) as panel:
        fleet = new_fleet(relays=0, controld_env={**PANEL, **clock.env(), "PTERODACTYL_URL": panel.url, "PTERODACTYL_API_KEY": panel.key})
        api = fleet.api
        sync(api)
        check_same(api, panel)
        for to in (by, 0):
            change_at_random(panel, rng, edits=0.2, removals=0.2)
            gate = Gate(panel, 4)
            made = start(api)
            gate.wait_full()
            clock.set(to)
            api.login()
            gate.open()
            wait(api, made)
            check_same(api, panel)
            change_at_random(panel, rng, edits=0.2, removals=0.2)
            sync(api)
            check_same(api, panel)
