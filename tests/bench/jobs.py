"""Jobs: how fast they are accepted and done, whether the queues keep their shares, how long a critical one waits behind low ones."""
import os
import re
import shutil
import statistics
import tempfile
import time

from control import DATABASES, heading, quantile, wrk
from rig import UNLIMITED, portway

import postgres  # noqa: E402  pylint: disable=wrong-import-position,wrong-import-order

NAMES = ["jobs"]
JOBS = {"sqlite": 100_000, "postgresql": 20_000}  # those that are done in half a minute
if "BENCH_JOBS" in os.environ:
    JOBS = dict.fromkeys(JOBS, int(os.environ["BENCH_JOBS"]))
BEHIND_S = 15
QUEUES = ("critical", "default", "low")
QUIET = {"CONTROLD_LOG_LEVEL": "warn", "CONTROLD_HTTP_ACCESS_LOG": "errors"}


def filling(folder, queues):
    """A wrk script that starts jobs of these queues in turn."""
    path = os.path.join(folder, "-".join(queues) + ".lua")
    with open(path, "w") as f:
        f.write('local q, n = {%s}, 0\nwrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                'function request()\n  n = n + 1\n  return wrk.format(nil, nil, nil, \'{"kind":"check","args":{"record":false},"queue":"\' .. '
                'q[n %% #q + 1] .. \'"}\')\nend\n' % ", ".join(f'"{q}"' for q in queues))
    return path


def started(fleet):
    """Attempts begun, by queue, and ended, of all."""
    text = fleet.api.get("/metrics")
    by_queue = {q: 0.0 for q in QUEUES}
    by_queue.update({q: float(n) for q, n in re.findall(r'^jobs_started_total\{queue="(\w+)"\} (\S+)', text, re.M)})
    return by_queue, sum(float(n) for n in re.findall(r"^jobs_ended_total\{[^}]*\} (\S+)", text, re.M))


def fill(fleet, folder, queues, jobs):
    """Accepted per second, by a controld that runs none."""
    fleet.controld.env["CONTROLD_JOBS_WORKERS"] = "0"
    restart(fleet)
    auth = {"Authorization": fleet.api.session.headers["Authorization"]}
    rates, before = [], waiting(fleet)
    while waiting(fleet) - before < jobs:
        row = wrk(fleet.controld.base + "/api/v1/jobs", filling(folder, queues), connections=32, seconds=5, headers=auth)
        rates.append(row["per_s"])
    return statistics.median(rates), waiting(fleet) - before


def waiting(fleet):
    return sum(q["queued"] for q in fleet.api.get("/api/v1/job-queues")["items"])


def restart(fleet):
    fleet.controld.stop()
    fleet.controld.start()
    fleet.api.login()


def drain(fleet, n, meanwhile=lambda: None, seconds=600):
    """Runs them, as many as are done in so many seconds: done per second, and the shares up to when a queue has less than a
    round of work left."""
    fleet.controld.env["CONTROLD_JOBS_WORKERS"] = "30"
    left = {q["name"]: q["queued"] for q in fleet.api.get("/api/v1/job-queues")["items"]}
    restart(fleet)
    began, shares, ended = time.monotonic(), {}, 0
    while ended < n and time.monotonic() - began < seconds:
        meanwhile()
        now, ended = started(fleet)
        if all(left[q] - now[q] > 60 for q in QUEUES):
            shares = now
        time.sleep(0.1)
    total = sum(shares.values())
    return ended / (time.monotonic() - began), {q: 100 * c / total for q, c in shares.items()} if total else {}


def behind(fleet, waits):
    """A critical job while low ones are done: from the call to the answer that it is done, as its caller sees it."""
    began = time.monotonic()
    job = fleet.api.post("/api/v1/jobs", {"kind": "check", "queue": "critical", "args": {"record": False}}, expect=202)
    fleet.api.get(f"/api/v1/jobs/{job['id']}?wait=10s")
    waits.append((time.monotonic() - began) * 1000)


def one(kind, folder):
    env, server = {}, None
    if kind == "postgresql":
        server = postgres.Server({"fsync": "on", "full_page_writes": "on"}).start()
        env = {"CONTROLD_DATABASE_URL": server.database()}
    fleet = portway.Fleet({**UNLIMITED, **QUIET, **env})
    waits = []
    try:
        fleet.start(relays=0)
        accepted, n = fill(fleet, folder, QUEUES, JOBS[kind])
        rate, shares = drain(fleet, n)
        print(f"{kind:10s} accepted {accepted:6.0f}/s  done {rate:6.0f}/s of {n}  shares "
              + " ".join(f"{q} {p:.1f} %" for q, p in shares.items()), flush=True)
        _, n = fill(fleet, folder, ["low"], JOBS[kind])
        low_rate, _ = drain(fleet, n, lambda: behind(fleet, waits), BEHIND_S)
        row = {"accepted_per_s": accepted, "done_per_s": rate, "shares": shares, "low_done_per_s": low_rate,
               "critical_p50_ms": quantile(waits, 0.5), "critical_p99_ms": quantile(waits, 0.99), "rss_kib": fleet.controld.rss_kib()}
        print(f"{kind:10s} a critical one behind {n} low: asked for and done within p50 {row['critical_p50_ms']:.1f} ms, p99 "
              f"{row['critical_p99_ms']:.1f} ms ({len(waits)} of them; low {low_rate:.0f}/s)", flush=True)
        return row
    finally:
        fleet.stop()
        if server:
            server.close()


def run(names, _rounds, results):
    if "jobs" not in names:
        return
    heading(f"jobs: {', '.join(f'{JOBS[kind]} on {kind}' for kind in DATABASES)}, that do nothing, 30 workers")
    folder = tempfile.mkdtemp()
    try:
        results.control("jobs", {kind: one(kind, folder) for kind in DATABASES})
    finally:
        shutil.rmtree(folder)
