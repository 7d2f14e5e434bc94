"""What a unit of work costs as work grows: connections, mappings, workers. Flat lines are what is wanted."""
import concurrent.futures
import threading

import report
import rig as rig_
from rig import portway

NAMES = ["connections", "mappings", "workers"]
CONNECTIONS = (1, 10, 100, 1000, 9000)
MAPPINGS = (1, 100, 10000)
SIZE = 64


def median_cost(rig, subject, protocol, args, rounds, key="cpu_us"):
    metric = report.Metric("", "")
    for _ in range(rounds):
        metric.add(subject.name, rig.load(subject, protocol, args))
    return metric.median(subject.name, key), metric.median(subject.name, "per_s")


def connections(rounds):
    cost = report.Curve("exchanges of 64 bytes: cost by open connections", "connections", "CPU us an exchange")
    rate = report.Curve("exchanges of 64 bytes: rate by open connections", "connections", "exchanges a second")
    with rig_.Rig() as rig:
        subjects = [s for s in (rig.add(name) for name in ("relayd", "haproxy", "nginx")) if s]
        for n in CONNECTIONS:
            for subject in subjects:
                cpu_us, per_s = median_cost(rig, subject, "tcp", f"exchange -n {n} -s {SIZE}", rounds)
                cost.add(subject.name, n, cpu_us)
                rate.add(subject.name, n, per_s)
    return [cost, rate]


def make_mappings(relay, backend, n):
    """Mappings of their own ports, by eight clients of the API."""
    local = threading.local()
    body = {"protocol": "tcp", "source_port": 0, "bind_address": "127.0.0.1", "target_host": "127.0.0.1", "target_port": backend}

    def make(_):
        if not hasattr(local, "api"):
            local.api = portway.Api(relay.fleet.controld.base)
            local.api.session.headers.update(relay.fleet.api.session.headers)
        return local.api.post("/api/v1/mappings", body, expect=201)["id"]
    if n > 0:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            last = list(pool.map(make, range(n)))[-1]
        relay.fleet.wait_status(last, seconds=60)


def mappings(rounds):
    curve = report.Curve("cost by mappings on the relay", "mappings", "CPU us an exchange or connection")
    with rig_.Rig() as rig:
        relay = rig.add("relayd")
        there = 1
        for n in MAPPINGS:
            make_mappings(relay, rig.backend, n - there)
            there = max(there, n)
            curve.add("relayd exchanges, 64 connections", n, median_cost(rig, relay, "tcp", f"exchange -n 64 -s {SIZE}", rounds)[0])
            curve.add("relayd connections, 32 at once", n, median_cost(rig, relay, "tcp", "connect -n 32", rounds)[0])
            curve.add("relayd datagrams of 64 bytes", n, median_cost(rig, relay, "udp", "udp -n 16 -w 16 -s 64", rounds)[0])
    return [curve]


def workers(rounds):
    """On hot mappings. The load has a core of its own only where there are more than two: then the factor says more."""
    metric = report.Metric("workers", "1 worker and 2, hot mappings, not pinned: rates and cost of two to one", "connections >= 1.6 x one worker")
    loads = {"exchanges": ("tcp", f"exchange -n 64 -s {SIZE}"), "connections": ("tcp", "connect -n 32"),
             "datagrams": ("udp", "udp -n 16 -w 16 -s 64")}
    with rig_.Rig() as rig:
        relays = {n: rig.add("relayd", workers=n, core=None, hot=True) for n in (1, 2)}
        for _ in range(rounds):
            for n, relay in relays.items():
                row = {}
                for name, (protocol, args) in loads.items():
                    seen = rig.load(relay, protocol, args)
                    row.update({f"{name}_s": seen["per_s"], f"{name}_us": seen["cpu_us"], "others": seen["others"]})
                metric.add("relayd" if n == 2 else "one worker", row)
    metric.print()
    return metric


def run(names, rounds):
    """Metrics and curves."""
    curves = []
    if "connections" in names:
        curves += connections(rounds)
    if "mappings" in names:
        curves += mappings(rounds)
    for curve in curves:
        curve.print()
    return [workers(rounds)] if "workers" in names else [], curves
