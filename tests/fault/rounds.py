"""One round of kill -9 under load, used by the short rounds of the scenarios and the long ones of the soak."""
import random
import threading
import time

import portway
from load import CountingServer, Load


UNLIMITED = {"CONTROLD_HTTP_RATE_LIMIT": "0"}  # one user makes all the changes and reads them all back


class Changes(threading.Thread):
    """Makes, changes and deletes mappings over the API all the time, and remembers what was acknowledged."""

    def __init__(self, fleet, target_port, seed):
        super().__init__(daemon=True)
        self.fleet, self.target_port, self.rng = fleet, target_port, random.Random(seed)
        self.stopping, self.present, self.deleted, self.unknown = threading.Event(), {}, set(), set()

    def run(self):
        api = portway.Api(self.fleet.controld.base)
        api.session.headers.update(self.fleet.api.session.headers)
        while not self.stopping.is_set():
            try:
                self.one(api)
            except (portway.requests.RequestException, AssertionError):
                self.stopping.wait(0.05)

    def one(self, api):
        known = [i for i in self.present if i not in self.unknown]
        what = self.rng.random()
        if what < 0.5 or not known:
            made = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                                 "target_port": self.target_port, "name": "first"}, timeout=10, expect=201)
            self.present[made["id"]] = "first"
            return
        chosen = self.rng.choice(known)
        self.unknown.add(chosen)  # until acknowledged either state is right
        if what < 0.8:
            name = f"name-{self.rng.random()}"
            api.put(f"/api/v1/mappings/{chosen}", {"name": name}, timeout=10)
            self.present[chosen] = name
        else:
            api.delete(f"/api/v1/mappings/{chosen}", timeout=10)
            self.deleted.add(chosen)
            del self.present[chosen]
        self.unknown.discard(chosen)

    def stop(self):
        self.stopping.set()
        self.join(60)

    def verify(self):
        """No acknowledged change was lost."""
        api = self.fleet.api
        for mapping_id, name in self.present.items():
            if mapping_id not in self.unknown:
                assert api.get(f"/api/v1/mappings/{mapping_id}")["name"] == name
        for mapping_id in self.deleted:
            api.get(f"/api/v1/mappings/{mapping_id}", expect=404)


def kill_round(fleet, seconds, seed, victims):
    """Load and changes for `seconds`, killing and restarting victims ("controld", "relayd") at random moments.
    Answers the figures after everything has been reported."""
    rng = random.Random(seed)
    server = CountingServer()
    mappings = [fleet.mapping(server.port) for _ in range(2)]
    load = Load([m["source_port"] for m in mappings], seed=seed).start()
    changes = Changes(fleet, server.port, seed)
    changes.start()
    kills, end = 0, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(rng.uniform(0.2, 1.5))  # the random moment is what this test is about
            victim = fleet.controld if rng.choice(victims) == "controld" else fleet.relay
            victim.kill()
            kills += 1
            time.sleep(rng.uniform(0, 0.5))
            victim.start()
    finally:
        changes.stop()
        load.stop()
        server.close()
    portway.eventually(fleet.controld.ready, "controld ready", 30)
    fleet.api = fleet.controld.api()
    fleet.wait_online()
    changes.verify()
    figures = settle(fleet, mappings)
    figures.update(kills=kills, sent_up=load.sent, delivered_up=server.received, sent_down=server.sent,
                   delivered_down=load.received, connections=load.connections, whole=load.whole, broken=load.broken)
    for m in [*mappings, *({"id": i} for i in changes.present)]:
        fleet.api.delete(f"/api/v1/mappings/{m['id']}", expect=(204, 404))
    return figures


def settle(fleet, mappings):
    """Waits until no counter moves and none is active, then adds them up."""
    def quiet():
        first = [fleet.stats(m["id"]) for m in mappings]
        if any(s["connections_active"] for s in first):
            return None
        time.sleep(2.5)  # two report intervals without a change
        return first if first == [fleet.stats(m["id"]) for m in mappings] else None

    stats = portway.eventually(quiet, "counters at rest", 60)
    return {"counted_up": sum(s["bytes_received"] for s in stats), "counted_down": sum(s["bytes_sent"] for s in stats),
            "counted_connections": sum(s["connections_total"] for s in stats)}


def check(figures, relay_killed):
    up = (figures["delivered_up"], figures["counted_up"], figures["sent_up"])
    down = (figures["delivered_down"], figures["counted_down"], figures["sent_down"])
    assert up[0] <= up[1] <= up[2], figures
    assert down[0] <= down[1] <= down[2], figures
    assert figures["kills"] > 0 and figures["whole"] > 0, figures
    if not relay_killed:
        assert figures["broken"] == 0, figures
        assert up[0] == up[1] == up[2] and down[0] == down[1] == down[2], figures
        assert figures["counted_connections"] == figures["connections"], figures
