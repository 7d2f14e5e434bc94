"""What a tunnel port costs beside other relays, load by load."""
import os
import re
import subprocess
import time

import report
import rig as rig_
from rig import portway

TCP = ["direct", "haproxy", "haproxy_splice", "nginx", "relayd"]
UP = ["direct", "haproxy_splice", "relayd"]
SMALL = ["direct", "haproxy", "nginx", "relayd"]  # there is nothing to splice
METERED = ["haproxy", "haproxy_splice", "relayd"]
UDP = ["direct", "nginx", "relayd"]
BUSY = "relayd_busy"  # a worker looks for events before it sleeps
IDLE = (1000, 5000, 9000)
LOST_S = 0.5  # no answer for so long
SETTLE_S = 0.3
MEMORY_ROUNDS = 3  # it hardly differs between them
ONLY = os.environ.get("BENCH_SUBJECTS", "").split()  # of the loads' subjects; all, when it is empty

# name: what it is, protocol, load, subjects
LOADS = {
    "bulk1": ("1 stream down", "tcp", "bulk -n 1", TCP),
    "bulk8": ("8 streams down", "tcp", "bulk -n 8", TCP),
    "up1": ("1 stream up", "tcp", "bulk -u -n 1", UP),
    "up8": ("8 streams up", "tcp", "bulk -u -n 8", UP),
    "metered1": ("1 stream down, under a bandwidth limit far above", "metered", "bulk -n 1", METERED),
    "metered8": ("8 streams down, under a bandwidth limit far above", "metered", "bulk -n 8", METERED),
    "crr": ("connect, ask, 128 bytes back, close; 32 at once", "tcp", "connect -n 32", SMALL),
    "rr1": ("64 bytes there and back, 1 connection", "tcp", "exchange -n 1 -s 64", SMALL),
    "rr1_busy": ("the same, with busy_poll", "tcp", "exchange -n 1 -s 64", ["haproxy", "nginx", "relayd", BUSY]),
    "rr64": ("64 bytes there and back, 64 connections", "tcp", "exchange -n 64 -s 64", SMALL),
    "udp64": ("64 bytes there and back, 16 flows of 16", "udp", "udp -n 16 -w 16 -s 64", UDP),
    "udp1200": ("1200 bytes there and back, 16 flows of 16", "udp", "udp -n 16 -w 16 -s 1200", UDP),
    "udplat": ("64 bytes there and back, one at a time", "udp", "udp -n 1 -w 1 -s 64", UDP),
    "udplat_busy": ("the same, with busy_poll", "udp", "udp -n 1 -w 1 -s 64", ["nginx", "relayd", BUSY]),
}
NAMES = [*LOADS, "dns", *(f"idle{n}" for n in IDLE)]


def loads(names, rounds, results):
    """All subjects of a protocol at once, measured in turn: every round meets the machine as the others do."""
    with rig_.Rig() as rig:
        subjects = {}
        for name in names:
            about, protocol, args, wanted = LOADS[name]
            wanted = [subject for subject in ([*wanted, "relayd_other"] if rig_.OTHER else wanted) if subject in (ONLY or subject)]
            metric = report.Metric(name, about, BUSY if BUSY in wanted else report.OURS)
            for subject in wanted:
                if subject not in subjects:
                    subjects[subject] = rig.add(subject)
            for _ in range(rounds):
                for subject in wanted:
                    if subjects[subject]:
                        metric.add(subject, rig.load(subjects[subject], protocol, args))
                        time.sleep(0.2 if name == "crr" else 0)  # its last connections end
            results.metric(metric)


# ---- a name server behind the tunnel ------------------------------------------------------------------------------------

def start_nsd(rig):
    port = portway.free_port()
    zone = rig.file("zone", "$ORIGIN t.\n@ 60 IN SOA a b 1 1 1 1 1\n@ 60 IN NS a\na 60 IN A 127.0.0.1\n")
    conf = rig.file("nsd.conf", f"""server:
 ip-address: 127.0.0.1
 port: {port}
 username: ""
 chroot: ""
 pidfile: ""
 zonesdir: "{rig.folder}"
 database: ""
 zonelistfile: "{rig.folder}/zones"
 xfrdfile: "{rig.folder}/xfrd"
 rrl-ratelimit: 0
remote-control:
 control-enable: no
zone:
 name: t
 zonefile: "{zone}"
""")
    process = rig.start(rig_.LOAD_CORE, ["nsd", "-d", "-c", conf], stderr=subprocess.DEVNULL)
    portway.eventually(lambda: portway.connect(port).close() is None, "nsd listens", 10)
    return process, port


def ask_dns(rig, subject, nsd, queries):
    argv = ["dnsperf", "-s", "127.0.0.1", "-p", str(subject.ports["udp"]), "-d", queries, "-l", f"{max(1, round(rig_.SECONDS))}", "-c", "8", "-q", "64",
            "-t", f"{LOST_S}"]
    process = rig.start(rig_.LOAD_CORE, argv)
    cost = rig_.Cost(subject.pids, [nsd.pid, process.pid])
    out = process.stdout.read()
    used = cost.stop()
    process.wait()

    def number(pattern):
        return float(re.search(pattern + r":\s+([\d.]+)", out).group(1))
    row = {"others": used["others"], "lost": number("Queries sent") - number("Queries completed"),
           "per_s": number("Queries per second"), "mean_us": number(r"Average Latency \(s\)") * 1e6}
    if subject.pids:
        row["cpu_us"] = used["cpu"] * 1e6 / number("Queries completed")
    return row


def dns(rounds):
    metric = report.Metric("dns", "dnsperf, 8 clients, 64 queries under way; a query is two datagrams")
    with rig_.Rig() as rig:
        nsd, port = start_nsd(rig)
        queries = rig.file("queries", "a.t A\n")
        subjects = [s for s in (rig.add(name, backend=port) for name in UDP) if s]
        for _ in range(rounds):
            for subject in subjects:
                metric.add(subject.name, ask_dns(rig, subject, nsd, queries))
        nsd.terminate()
        nsd.wait()
    return metric


# ---- memory --------------------------------------------------------------------------------------------------------------

def step(process, word):
    assert process.stdout.readline() == word + "\n", f"the load did not say '{word}'"
    time.sleep(SETTLE_S)


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


def idle_run(rig, subject, connections):
    argv = [os.path.join(portway.BIN, "benchload"), "idle", "-p", rig_.port_of(subject, "tcp", connections), "-n", str(connections)]
    time.sleep(SETTLE_S)  # it has started, and so have its children
    base = rig_.pss_kib(subject.pids)
    process = rig.start(None, argv, stdin=subprocess.PIPE)
    step(process, "open")
    quiet = rig_.pss_kib(subject.pids)
    go_on(process)
    step(process, "echoed")
    after = rig_.pss_kib(subject.pids)
    go_on(process)
    seen = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", process.stdout.read())}
    process.wait()
    return {"base_kib": base, "idle_kib": (quiet - base) / connections, "echoed_kib": (after - base) / connections, "lost": seen["lost"]}


def idle(connections, rounds):
    """Each round with subjects that have just started: what an earlier round left in their pools would count as base."""
    metric = report.Metric(f"idle{connections}", f"memory (PSS) of {connections:,} connections, each, before and after 1 KB")
    for _ in range(min(rounds, MEMORY_ROUNDS)):
        with rig_.Rig() as rig:
            for name in ("haproxy", "nginx", "relayd"):
                subject = rig.add(name)
                if subject:
                    metric.add(name, idle_run(rig, subject, connections))
    return metric


def run(names, rounds, results):
    loads([n for n in names if n in LOADS], rounds, results)
    if "dns" in names:
        results.metric(dns(rounds))
    for n in IDLE:
        if f"idle{n}" in names:
            results.metric(idle(n, rounds))
