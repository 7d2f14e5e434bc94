"""Webhooks whose controlds are killed again and again: every event that was accepted arrives, in the order of the log; what comes
again is what was being sent when one died."""
import random
import threading

import requests
from portway import eventually

ENV = {"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8", "CONTROLD_WEBHOOKS_RETRY": "20ms", "CONTROLD_WEBHOOKS_RETRY_MAX": "100ms",
       "CONTROLD_WEBHOOKS_TIMEOUT": "1s", "CONTROLD_WEBHOOKS_ATTEMPTS": "1000", "CONTROLD_HTTP_RATE_LIMIT": "0"}
EVENT = "round.made"


class Sender:
    """Sends events through one controld as long as it lives, and knows which were accepted."""

    def __init__(self, controld, name):
        self.api, self.name, self.accepted, self.unsure, self.n = controld.api(), name, [], 0, 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.done.is_set():
            self.n += 1
            body = {"event": EVENT, "data": {"by": self.name, "n": self.n}}
            try:
                self.accepted.append(self.api.post("/api/v1/webhook/dispatch", body, expect=202)["data"]["event_id"])
            except (requests.RequestException, AssertionError):
                self.unsure += 1  # killed before it answered, or just starting: it may be there or not
            self.done.wait(0.02)

    def stop(self):
        self.done.set()
        self.thread.join()


def ids(receiver):
    return [b["id"] for b in receiver.taken(EVENT)]


def repeated(receiver):
    """How many came twice as the same attempt: its sender had died before it wrote down how it ended. Who waited in vain for an answer
    has written that down, and comes with the next one."""
    with receiver.lock:
        came = [(headers["X-Portway-Delivery"], headers["X-Portway-Attempt"]) for _, headers, _ in receiver.got]
    return len(came) - len(set(came))


def kill_rounds(controlds, receiver, points, seed):
    """Kills at `points` moments that are told by how many deliveries came since the one before. The senders."""
    rng = random.Random(seed)
    api = controlds[0].api()
    api.post("/api/webhooks", {"url": receiver.url, "events": [EVENT], "secret": "a secret of rounds"}, expect=201)
    senders = [Sender(c, str(i)) for i, c in enumerate(controlds)]
    try:
        for _ in range(points):
            target = len(receiver.got) + rng.randrange(1, 40)
            eventually(lambda t=target: len(receiver.got) >= t, "deliveries", 60, 0.001)
            victim = rng.choice(controlds)
            victim.kill()
            victim.start()
    finally:
        for s in senders:
            s.stop()
    accepted = {e for s in senders for e in s.accepted}
    eventually(lambda: accepted <= set(ids(receiver)), "all that was accepted", 120, 0.1)
    return senders


def check(senders, receiver, points):
    seen = ids(receiver)
    first = list(dict.fromkeys(seen))
    numbers = [int(e.rsplit("-", 1)[1]) for e in first]
    assert numbers == sorted(numbers), "in the order of the log"
    accepted, unsure = sum(len(s.accepted) for s in senders), sum(s.unsure for s in senders)
    assert accepted <= len(first) <= accepted + unsure
    again = repeated(receiver)
    assert again <= points, "one that was being sent, at most, for each kill"
    print(f"{len(first)} events, {again} sent again, {len(seen) - len(first) - again} after a time-out, {unsure} unanswered, {points} kills")
    return len(first), again
