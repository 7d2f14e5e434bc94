"""A real relay whose pools and routes a test sets without a controld: configsim (configsim.c) takes its place."""
import collections
import json
import queue
import subprocess
import tempfile
import threading

import portway


class _At:
    def __init__(self, address):
        self.fleet_port = int(address.rsplit(":", 1)[1])


class Routes:
    """Starts configsim and a relay; put() and gone() answer when the relay has the change."""

    def __init__(self, env=None, workers=2, nofile=None):
        self.folder = tempfile.mkdtemp(prefix="portway-routes-")
        self.port = portway.free_port()
        self.lines = queue.Queue()
        self.counts = collections.defaultdict(dict)
        self.refused = {}
        self.revision = 0
        self.acked = 0
        self.asked = queue.Queue()
        self.sim = subprocess.Popen([portway.BIN + "/configsim"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        listen = self.sim.stdout.readline().split()[1]
        token = self.sim.stdout.readline().split()[1]
        threading.Thread(target=self._read, daemon=True).start()
        extra = {"RELAYD_HTTP_LISTEN": f"127.0.0.1:{self.port}", "RELAYD_WORKERS": str(workers), "RELAYD_REPORT_INTERVAL": "200ms",
                 "RELAYD_CONTROLD": listen, **(env or {})}
        self.relay = portway.Relayd(self.folder, "edge-1", _At(listen), token, extra, nofile)
        self.relay.start()

    def _read(self):
        for line in self.sim.stdout:
            words = line.split()
            if words[0] == "refused":
                self.refused[words[1]] = " ".join(words[2:])
            elif words[0] == "revision":
                self.acked = int(words[1])
            elif words[0] == "count":
                self.counts[words[1]][words[2]] = int(words[3])
            elif words[0] in ("conn", "answered"):
                self.asked.put(words)

    def send(self, wait=True, **what):
        """A revision; the relay runs it when this returns."""
        self.refused = {}
        self.revision += 1
        self.sim.stdin.write(json.dumps(what) + "\n")
        self.sim.stdin.flush()
        if wait:
            portway.eventually(lambda: self.acked >= self.revision, f"revision {self.revision}")

    def put(self, *objects, wait=True):
        self.send(put=list(objects), wait=wait)

    def gone(self, kind, *ids):
        self.send(gone=[{"kind": kind, "id": i} for i in ids])

    def ask(self, **what):
        self.sim.stdin.write(json.dumps(what) + "\n")
        self.sim.stdin.flush()
        answers = []
        while True:
            words = self.asked.get(timeout=20)
            if words[0] == "answered":
                return answers
            answers.append(words[1:])

    def wait_counts(self, object_id, seconds=20, **wanted):
        """All of them, together."""
        def reached():
            have = self.counts.get(object_id, {})
            return all(have.get(k, 0) == v for k, v in wanted.items())
        try:
            portway.eventually(reached, "counts", seconds)
        except AssertionError as e:
            raise AssertionError(f"{object_id}: {dict(self.counts.get(object_id, {}))}, not {wanted}") from e

    def stop(self):
        try:
            self.relay.stop()
        finally:
            self.sim.kill()
            self.sim.wait()


def backend(name, port, **more):
    return {"id": name, "host": "127.0.0.1", "port": port, **more}


def pool(name, *backends, **more):
    return {"kind": "pool", "id": name, "backends": list(backends), **more}


def route(name, pool_id, host="a.test", **more):
    return {"kind": "route", "id": name, "hosts": [host], "targets": [{"pool": pool_id, "weight": 1}], **more}
