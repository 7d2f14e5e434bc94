"""What is promised beside speed: a bandwidth limit is kept exactly, and a stream does not starve small connections."""
import os
import re
import time

import report
import rig as rig_

NAMES = ["limits", "fairness"]
LIMITS = (1_000_000, 10_000_000, 100_000_000)  # bytes a second
LIMIT_S, LIMIT_ROUNDS = 10, 3
SMALL, SMALL_PER_S = 1000, 4000


def passed(relay, way):
    """Bytes that the relay has delivered by mapping, and when it said so."""
    asked = time.monotonic()
    rows = relay.fleet.relay.metrics()
    when, series = (asked + time.monotonic()) / 2, re.compile(rf'relayd_mapping_bytes_{way}_total{{mapping="([^"]+)"')
    total = {}
    for name, value in rows.items():
        found = series.match(name)
        if found:
            total[found.group(1)] = total.get(found.group(1), 0) + value
    return total, when


def metered(rig, relay, way):
    """Percent off each limit, of 1 and 8 streams; all at once. At the relay's own counters: what waits in a socket on either
    side has passed, or has not."""
    loads = []
    for limit in LIMITS:
        for streams in (1, 8):
            mapping = relay.fleet.mapping(rig.backend, bind_address="127.0.0.1", limits={f"bandwidth_{way}": limit})
            argv = ["bulk", *(["-u"] if way == "in" else []), "-n", str(streams), "-p", str(mapping["source_port"]), "-d", f"{LIMIT_S + 30}"]
            loads.append((limit, streams, mapping, rig.start(rig_.LOAD_CORE, [os.path.join(rig_.portway.BIN, "benchload"), *argv])))
    for *_, load in loads:
        load.stdout.readline()  # it has warmed up, and the first burst has passed
    before, began = passed(relay, way)
    time.sleep(LIMIT_S)
    after, ended = passed(relay, way)
    rows = {}
    for limit, streams, mapping, load in loads:
        rate = (after[mapping["id"]] - before[mapping["id"]]) / (ended - began)
        rows.setdefault(limit, {})[f"{streams}_off_percent"] = (rate / limit - 1) * 100
        load.kill()
        load.wait()
        relay.fleet.api.delete(f"/api/v1/mappings/{mapping['id']}")
    return rows


def limits(rounds):
    metric = report.Metric("limits", f"bytes that passed in {LIMIT_S} s against the limit, in percent of it; six limits at once")
    with rig_.Rig() as rig:
        relay = rig.add("relayd")
        for _ in range(min(rounds, LIMIT_ROUNDS)):
            for way in ("in", "out"):
                for limit, row in metered(rig, relay, way).items():
                    metric.add(f"{limit // 1_000_000} MB/s {way}", row)
    return metric


def fairness(rounds):
    metric = report.Metric("fairness", f"{SMALL:,} connections with {SMALL_PER_S:,} exchanges of 64 bytes a second in all, alone and beside a bulk stream")
    with rig_.Rig() as rig:
        subjects = [s for s in (rig.add(name) for name in ("haproxy_splice", "nginx", "relayd")) if s]
        small = f"paced -n {SMALL} -r {SMALL_PER_S} -s 64"
        for _ in range(rounds):
            for subject in subjects:
                alone = rig.load(subject, "tcp", small)
                stream = rig.start(rig_.LOAD_CORE, [os.path.join(rig_.portway.BIN, "benchload"), "bulk", "-n", "1", "-p", str(subject.ports["tcp"]),
                                                    "-d", f"{rig_.SECONDS + 3:g}"])
                stream.stdout.readline()  # it has warmed up
                beside = rig.load(subject, "tcp", small, beside=[stream.pid])
                stream.kill()
                stream.wait()
                metric.add(subject.name, {"alone_p50_us": alone["p50_us"], "alone_p99_us": alone["p99_us"], "beside_p50_us": beside["p50_us"],
                                          "beside_p99_us": beside["p99_us"], "late": beside["lost"], "others": beside["others"]})
    return metric


def run(names, rounds, results):
    for name in NAMES:
        if name in names:
            results.metric({"limits": limits, "fairness": fairness}[name](rounds))
