"""One controld on SQLite, one and two on PostgreSQL, with simulated relays: requests/s and p99, a change on its way to all
relays, reports taken in. Nothing is pinned: controlds, PostgreSQL and relays share the machine, as the cost of a report is
what all of them do for it."""
import contextlib
import json
import os
import shutil
import tempfile
import time

import control
import rig as rig_
from rig import UNLIMITED, portway

from cluster import Cluster  # noqa: E402  pylint: disable=wrong-import-position,wrong-import-order

NAMES = ["requests", "pushes", "reports"]
RELAYS = int(os.environ.get("BENCH_RELAYS", "1000"))
SECONDS = float(os.environ.get("BENCH_REPORT_SECONDS", "10"))
ROWS = 10  # mappings with counters in each report
SUBJECTS = os.environ.get("BENCH_CONTROLDS", "sqlite postgresql postgresql+postgresql").split()
FAST = {**UNLIMITED, "CONTROLD_FLEET_JOIN_RATE": "1000", "CONTROLD_FLEET_JOIN_RATE_ALL": "1000"}
GROUP = {"protocol": "tcp", "source_port": 0, "target_host": "192.0.2.1", "target_port": 80, "group": "simulated"}


@contextlib.contextmanager
def controlds(subject):
    """As many as the subject has words; a PostgreSQL keeps what it was told."""
    folder, url = tempfile.mkdtemp(), None
    if subject == "sqlite":
        url = f"sqlite:{folder}/portway.db"
    try:
        with Cluster(len(subject.split("+")), {"fsync": "on", "full_page_writes": "on"}, url, FAST) as c:
            yield c.start(relays=0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def total(c, name):
    """Of a counter, over all controlds."""
    return sum(float(line.split()[1]) for d in c.controlds for line in portway.requests.get(d.base + "/metrics", timeout=20).text.splitlines()
               if line.startswith(name + " "))


def processes(c):
    return [d.pid for d in c.controlds], [c.server.process.pid] if c.server else []


def requests(c):
    """wrk on one core at one controld after the other: what one client of the API sees."""
    folder = tempfile.mkdtemp()
    try:
        script = os.path.join(folder, "create.lua")
        with open(script, "w") as f:
            f.write(f"wrk.method=\"POST\" wrk.headers[\"Content-Type\"]=\"application/json\"\nwrk.body='{json.dumps({**GROUP, 'group': 'default'})}'\n")
        one = c.mapping_id
        auth = {"Authorization": c.api.session.headers["Authorization"]}
        base = c.controlds[-1].base
        row = {}
        for name, path, body in (("get", f"/api/v1/mappings/{one}", None), ("list", "/api/v1/mappings?limit=20", None),
                                 ("create", "/api/v1/mappings", script)):
            seen = control.wrk(base + path, body, connections=32, headers=auth)
            row.update({f"{name}_per_s": seen["per_s"], f"{name}_p50_ms": seen["p50_ms"], f"{name}_p99_ms": seen["p99_ms"],
                        f"{name}_refused": seen["bad"]})
        return row
    finally:
        shutil.rmtree(folder)


def pushes(c, rounds=10):
    """From the call to the moment every simulated relay runs it, whichever controld it polls; calls go to each in turn."""
    took = []
    for i in range(rounds):
        before = len(c.sim.revisions())
        c.sim.mark()
        c.apis[i % len(c.apis)].post("/api/v1/mappings", GROUP, expect=201)
        took += portway.eventually(lambda n=before: c.sim.revisions()[n:], "all have it", 60)[:1]
    return {"push_p50_ms": control.quantile([t[1] for t in took], 0.5), "push_p99_ms": control.quantile([t[2] for t in took], 0.5),
            "push_last_ms": control.quantile([t[3] for t in took], 0.5)}


def reports(c):
    """All relays report as fast as they are answered; a report is counted when it is stored."""
    portway.eventually(lambda: total(c, "fleet_reports_stored_total") > RELAYS, "reports with counters", 60)
    ours, database = processes(c)
    before, batches, began = total(c, "fleet_reports_stored_total"), total(c, "fleet_report_commits_total"), time.monotonic()
    cost = [rig_.Cost(ours, database), rig_.Cost(database, ours)]
    time.sleep(SECONDS)
    used = [one.stop()["cpu"] for one in cost]
    stored, seconds = total(c, "fleet_reports_stored_total") - before, time.monotonic() - began
    batches = max(total(c, "fleet_report_commits_total") - batches, 1)
    return {"reports_per_s": stored / seconds, "rows_per_s": stored * ROWS / seconds, "reports_a_commit": stored / batches,
            "controld_cpu_us": used[0] / max(stored, 1) * 1e6, "database_cpu_us": used[1] / max(stored, 1) * 1e6}


def measure(subject, wanted):
    row = {}
    with controlds(subject) as c:
        c.api.post("/api/v1/groups", {"name": "simulated"}, expect=201)
        c.mapping_id = [c.api.post("/api/v1/mappings", GROUP, expect=201) for _ in range(ROWS)][0]["id"]
        if "requests" in wanted:
            row.update(requests(c))
        if "pushes" in wanted or "reports" in wanted:
            c.simulate(RELAYS, rows=ROWS, heartbeat=10000)
        if "pushes" in wanted:
            row.update(pushes(c))
        if "reports" in wanted:
            c.sim.heartbeat(100)
            row.update(reports(c))
    return row


def run(names, _rounds, results):
    wanted = [name for name in NAMES if name in names]
    if not wanted:
        return
    control.heading(f"{', '.join(wanted)}: {RELAYS} simulated relays, {ROWS} rows a report; {', '.join(SUBJECTS)}")
    rows = {subject: measure(subject, wanted) for subject in SUBJECTS}
    keys = [key for key in next(iter(rows.values()))]
    print(f"{'':20s}" + "".join(f"{s:>24s}" for s in rows), flush=True)
    for key in keys:
        print(f"{key:20s}" + "".join(f"{row.get(key, 0):24.2f}" for row in rows.values()), flush=True)
    results.control("controlds", rows)
