"""What a unit of work costs as work grows: connections, streams, mappings, workers. Flat lines are what is wanted."""
import control
import quota
import report
import rig as rig_

NAMES = ["connections", "streams", "arrivals", "mappings", "workers"]
CONNECTIONS = (1, 10, 100, 1000, 9000)
STREAMS = (1, 10, 100, 1000, 4000)  # 20,000 descriptors are for pipes, too
ARRIVALS = (1, 30, 1000)
MAPPINGS = (1, 100, 10000)
FEW = 700  # connections of the load before, and pipes that are kept
FILL_S = 0.0005  # of a stream
SIZE = 64
ROUNDS = 3  # of a curve, whose form is what matters


def by_number(rounds, subjects, loads, sizes, curves, keys, longer=0):
    """A point is a round of each subject, one after the other: loads(n) is what they are asked, keys what of it each curve shows;
    longer: seconds more for each connection."""
    with rig_.Rig() as rig:
        there = [s for s in (rig.add(name) for name in subjects) if s]
        at_rest = {subject.name: rig_.descriptors(subject.pids) for subject in there}
        for n in sizes:
            for _ in range(rounds):
                for subject in there:
                    row = rig.load(subject, "tcp", loads(n), rig_.SECONDS + longer * n)
                    for curve, key in zip(curves, keys):
                        curve.add(subject.name, n, row[key])
                    rig_.portway.eventually(lambda s=subject: rig_.descriptors(s.pids) < at_rest[s.name] + FEW, f"connections of {subject.name} end", 30)


def connections(rounds):
    curves = [report.Curve("exchanges of 64 bytes: cost by open connections", "connections", "CPU us an exchange"),
              report.Curve("exchanges of 64 bytes: rate by open connections", "connections", "exchanges a second")]
    by_number(rounds, ("relayd", "haproxy", "nginx"), lambda n: f"exchange -n {n} -s {SIZE}", CONNECTIONS, curves, ("cpu_us", "per_s"))
    return curves


def streams(rounds):
    """What the sockets of many streams hold has to be full first, and must be little beside what passes, or filling and emptying
    them is what is measured: more of them are warmed up and measured for longer."""
    curves = [report.Curve("bulk: cost by streams at once", "streams", "CPU s a GB"), report.Curve("bulk: throughput by streams at once", "streams", "Gbit/s")]
    by_number(rounds, ("relayd", "haproxy_splice", "nginx"), lambda n: f"bulk -n {n} -W {0.25 + FILL_S * n:g}", STREAMS, curves, ("cpu_s_per_gb", "gbit_s"), FILL_S)
    return curves


def arrivals(rounds):
    curves = [report.Curve("new connections: cost by how many at once", "at once", "CPU us a connection"),
              report.Curve("new connections: rate by how many at once", "at once", "connections a second")]
    by_number(rounds, ("relayd", "haproxy", "nginx"), lambda n: f"connect -n {n}", ARRIVALS, curves, ("cpu_us", "per_s"))
    return curves


def make_mappings(relay, backend, n):
    """Mappings of their own ports."""
    body = {"protocol": "tcp", "source_port": 0, "bind_address": "127.0.0.1", "target_host": "127.0.0.1", "target_port": backend}
    if n > 0:
        last = control.create_many(relay.fleet, [body] * n)[-1]
        relay.fleet.wait_status(last["id"], seconds=60)


def mappings(rounds):
    """A relay for each number, asked in turn: the rounds of one number are not those of another hour."""
    curve = report.Curve("cost by mappings on the relay", "mappings", "CPU us an exchange, connection or datagram")
    loads = {"relayd exchanges, 64 connections": ("tcp", f"exchange -n 64 -s {SIZE}"), "relayd connections, 32 at once": ("tcp", "connect -n 32"),
             "relayd datagrams of 64 bytes": ("udp", "udp -n 16 -w 16 -s 64")}
    with rig_.Rig() as rig:
        relays = {n: rig.add("relayd") for n in MAPPINGS}
        for n, relay in relays.items():
            make_mappings(relay, rig.backend, n - 1)
        for line, (protocol, args) in loads.items():
            for _ in range(rounds):
                for n, relay in relays.items():
                    curve.add(line, n, rig.load(relay, protocol, args)["cpu_us"])
    return [curve]


def workers(rounds):
    """On hot mappings. Load and backend need a core, too, so where there are two a worker gets a share of one, as two do:
    twice the share must be twice the work."""
    given = f"{quota.SHARE:.0%} of a core for each worker" if quota.possible() else "no quota here, so load and workers share the cores"
    metric = report.Metric("workers", f"1 worker and 2, hot mappings, not pinned, {given}: rates and cost of two to one")
    loads = {"exchanges": ("tcp", f"exchange -n 64 -s {SIZE}"), "connections": ("tcp", "connect -n 32"),
             "datagrams": ("udp", "udp -n 16 -w 16 -s 64")}
    rate = "s" if quota.possible() else "shared_s"  # which says nothing of a goal
    with rig_.Rig() as rig, quota.Quotas() as quotas:
        relays = {n: rig.add("relayd", workers=n, core=None, hot=True) for n in (1, 2)}
        for relay in relays.values():
            quotas.limit(relay.pids[0])
        for _ in range(rounds):
            for n, relay in relays.items():
                row = {}
                for name, (protocol, args) in loads.items():
                    seen = rig.load(relay, protocol, args)
                    row.update({f"{name}_{rate}": seen["per_s"], f"{name}_us": seen["cpu_us"], "others": seen["others"]})
                metric.add("relayd" if n == 2 else "one worker", row)
    return metric


def run(names, rounds, results):
    for name, measure in (("connections", connections), ("streams", streams), ("arrivals", arrivals), ("mappings", mappings)):
        if name in names:
            results.curve(name, *measure(min(rounds, ROUNDS)))
    if "workers" in names:
        results.metric(workers(rounds))
