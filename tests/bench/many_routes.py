"""Many routes on one relay: how fast they are made and pushed, what they take of memory, what a request among them costs."""
import os
import subprocess
import time

import control
import l7
import rig as rig_
from rig import portway

NAMES = ["routes"]
ROUTES = int(os.environ.get("BENCH_ROUTES", "10000"))
POOLS = int(os.environ.get("BENCH_POOLS", "1000"))
CHANGES = 100


def host_of(i):
    return f"host{i}.example"


def make_pool(backend):
    def make(client, i):
        client.post("/api/pools", {"name": f"pool-{i}", "algorithm": "round_robin", "health_check": {"enabled": False}})
        client.post("/api/backends", {"address": f"127.0.0.1:{backend}", "pool": f"pool-{i}", "weight": 100})
    return make


def make_route(client, i):
    return client.post("/api/routes", {"host": host_of(i), "path_prefix": "/", "pool": f"pool-{i % POOLS}"})


def serves(relay, i):
    try:
        return l7.answers(relay.port, False, host_of(i))
    except (AssertionError, OSError):
        return False


def wait_served(relay, i, seconds):
    portway.eventually(lambda: serves(relay, i), f"{host_of(i)} is served", seconds)


def cpu_us(stage, relay, i, rounds):
    """Of a request of one host, whatever else is there: the median."""
    seen = []
    for _ in range(rounds):
        argv = ["wrk", "-t1", "-c64", "--latency", f"-d{max(1, round(rig_.SECONDS))}s", "-H", f"Host: {host_of(i)}", f"http://127.0.0.1:{relay.port}/128"]
        process = subprocess.Popen(rig_.pinned(rig_.LOAD_CORE, argv), stdout=subprocess.PIPE, text=True)
        cost = rig_.Cost(relay.pids, [stage.http.pid, process.pid])
        row = l7.read_wrk(process.communicate()[0])
        seen.append(cost.stop()["cpu"] * 1e6 / row["done"])
    return sorted(seen)[len(seen) // 2]


def changes(relay):
    """Milliseconds from the call to the first answer of a new route."""
    took = []
    for i in range(ROUTES, ROUTES + CHANGES):
        began = time.monotonic()
        make_route(relay.fleet.api, i)
        while not serves(relay, i):
            pass
        took.append((time.monotonic() - began) * 1000)
    return took


def restarted(relay):
    """Seconds until a relay that starts again serves the last of them, from what it kept on disk."""
    relay.fleet.relay.kill()
    began = time.monotonic()
    relay.fleet.relay.start()
    wait_served(relay, ROUTES - 1, 60)
    return time.monotonic() - began


def routes(rounds):
    control.heading(f"routes: {ROUTES:,} routes to {POOLS:,} pools on one relay")
    with l7.Stage() as stage:
        relay = l7.Relay()
        stage.subjects.append(relay)
        fleet = relay.fleet
        empty = fleet.controld.rss_kib(), fleet.relay.rss_kib()
        began = time.monotonic()
        control.by_many(fleet, make_pool(stage.backends[0]), range(POOLS))
        pools_s = time.monotonic() - began
        make_route(fleet.api, 0)
        wait_served(relay, 0, 15)
        few = cpu_us(stage, relay, 0, rounds)
        began = time.monotonic()
        control.by_many(fleet, make_route, range(1, ROUTES))
        made_s = time.monotonic() - began
        wait_served(relay, ROUTES - 1, 60)
        full = fleet.controld.rss_kib(), fleet.relay.rss_kib()
        many = cpu_us(stage, relay, 0, rounds)
        took = changes(relay)
        row = {"pools_per_s": POOLS / pools_s, "routes_per_s": (ROUTES - 1) / made_s,
               "first_answer_p50_ms": control.quantile(took, 0.5), "first_answer_p99_ms": control.quantile(took, 0.99),
               "cpu_us_1_route": few, "cpu_us_all_routes": many, "relayd_rss_kib": full[1],
               "relayd_kib_per_route": (full[1] - empty[1]) / ROUTES, "controld_rss_kib": full[0],
               "controld_kib_per_route": (full[0] - empty[0]) / ROUTES, "restart_s": restarted(relay)}
    for key, value in row.items():
        print(f"{key:28s} {value:10.2f}", flush=True)
    return row


def run(names, rounds, results):
    if "routes" in names:
        results.control("routes", routes(rounds))
