"""What is promised beside speed: a bandwidth limit is kept exactly, and a stream does not starve small connections."""
import os
import time

import report
import rig as rig_

NAMES = ["limits", "fairness"]
LIMITS = (1_000_000, 10_000_000, 100_000_000)  # bytes a second
LIMIT_S = 10
SMALL, SMALL_PER_S = 1000, 4000


def passed(relay, mapping, way):
    """Bytes that the relay has delivered, and when it said so."""
    series = f'relayd_mapping_bytes_{way}_total{{mapping="{mapping["id"]}"'
    return sum(v for k, v in relay.fleet.relay.metrics().items() if k.startswith(series)), time.monotonic()


def metered(rig, relay, limit, way, streams):
    """Percent off the limit. At the relay's own counters: what waits in a socket on either side has passed, or has not."""
    mapping = relay.fleet.mapping(rig.backend, bind_address="127.0.0.1", limits={f"bandwidth_{way}": limit})
    argv = ["bulk", *(["-u"] if way == "in" else []), "-n", str(streams), "-p", str(mapping["source_port"]), "-d", f"{LIMIT_S + 5}"]
    load = rig.start(rig_.LOAD_CORE, [os.path.join(rig_.portway.BIN, "benchload"), *argv])
    load.stdout.readline()  # it has warmed up, and the first burst has passed
    before, began = passed(relay, mapping, way)
    time.sleep(LIMIT_S)
    after, ended = passed(relay, mapping, way)
    load.kill()
    load.wait()
    relay.fleet.api.delete(f"/api/v1/mappings/{mapping['id']}")
    return ((after - before) / (ended - began) / limit - 1) * 100


def limits(_rounds):
    metric = report.Metric("limits", f"bytes that passed in {LIMIT_S} s against the limit, in percent of it", "within 2 %")
    with rig_.Rig() as rig:
        relay = rig.add("relayd")
        for limit in LIMITS:
            for way in ("in", "out"):
                row = {f"{streams}_off_percent": metered(rig, relay, limit, way, streams) for streams in (1, 8)}
                metric.add(f"{limit // 1_000_000} MB/s {way}", row)
    metric.print()
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
                beside = rig.load(subject, "tcp", small)
                stream.kill()
                stream.wait()
                metric.add(subject.name, {"alone_p50_us": alone["p50_us"], "alone_p99_us": alone["p99_us"], "beside_p50_us": beside["p50_us"],
                                          "beside_p99_us": beside["p99_us"], "late": beside["lost"], "others": beside["others"]})
    metric.print()
    return metric


def run(names, rounds):
    return [{"limits": limits, "fairness": fairness}[name](rounds) for name in NAMES if name in names]
