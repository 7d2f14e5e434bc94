"""Figures of one and two controlds on a PostgreSQL of this machine (fsync on): creates that wait for a real relay, pushes to
simulated relays, reports taken in. Asserts nothing about speed."""
import os
import time

import pytest
from cluster import Cluster
from portway import eventually

RELAYS = [int(n) for n in os.environ.get("PORTWAY_FIGURES_RELAYS", "200,1000").split(",")]
FAST = {"CONTROLD_FLEET_JOIN_RATE": "1000", "CONTROLD_FLEET_JOIN_RATE_ALL": "1000"}


def quantiles(values):
    values = sorted(values)
    return f"p50 {values[len(values) // 2]:.1f} ms, p99 {values[len(values) * 99 // 100]:.1f} ms"


def creates(c, api, count=200):
    took = []
    for _ in range(count):
        begun = time.monotonic()
        made = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1", "target_port": 9},
                        expect=201)
        took.append((time.monotonic() - begun) * 1000)
        assert made["status"] == "active"
        c.api.delete(f"/api/v1/mappings/{made['id']}")
    return quantiles(took)


def pushes(c, rounds=10):
    """From the call to the moment all simulated relays run it."""
    found = []
    for i in range(rounds):
        before = len(c.sim.revisions())
        c.sim.mark()
        c.apis[i % len(c.apis)].post("/api/v1/mappings", {"protocol": "tcp", "source_port": 20000 + i, "target_host": "127.0.0.1",
                                                          "target_port": 9, "group": "simulated"}, expect=201)
        found += eventually(lambda n=before: c.sim.revisions()[n:], "all have it", 60)
    return f"p50 {sum(f[1] for f in found) / len(found):.1f} ms, last {max(f[3] for f in found):.1f} ms at most"


def stored(c):
    from portway import requests
    values = [float(line.split()[1]) for d in c.controlds for line in requests.get(d.base + "/metrics", timeout=10).text.splitlines()
              if line.startswith("fleet_reports_stored_total ")]
    return sum(values)


def reports(c, seconds=15):
    before, begun = stored(c), time.monotonic()
    time.sleep(seconds)
    return (stored(c) - before) / (time.monotonic() - begun)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("relays", RELAYS)
def test_figures(count, relays):
    with Cluster(count, settings={"fsync": "on", "full_page_writes": "on"}, env=FAST) as c:
        c.start(relays=1)
        here = c.at("edge-1")
        print(f"\n{count} controld(s), {relays} simulated relays")
        print("  create, relay at the same:", creates(c, c.apis[here]))
        if count > 1:
            print("  create, relay at the other:", creates(c, c.apis[1 - here]))
        c.simulate(relays, rows=10, heartbeat=500)
        print("  push:", pushes(c))
        eventually(lambda: stored(c) > 0, "reports with counters", 60)
        print(f"  reports of 10 rows taken in: {reports(c):.0f}/s of {relays * 2}/s that are offered; load of the machine "
              f"{os.getloadavg()[0]:.0f}")
