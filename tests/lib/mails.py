"""What tests of mail share."""
import random

from fake_http import Gate
from portway import eventually
from resend import KEY, SECRET

ENV = {"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8", "CONTROLD_MAIL_RATE": "0", "RESEND_API_KEY": KEY, "CONTROLD_HTTP_RATE_LIMIT": "0",
       "EMAIL_FROM": "Portway <noreply@example.com>", "CONTROLD_MAIL_WEBHOOK_SECRET": SECRET}
DATA = {"name": "John Doe", "verifyUrl": "https://app.example.com/verify/abc123?a=1&b=2"}


def queue(api, to="user@example.com", template="welcome", data=None, expect=202, **more):
    answer = api.post("/api/v1/email/queue", {"to": to, "template": template, "data": DATA if data is None else data, **more},
                      expect=expect)
    return answer["data"]["task_id"] if expect == 202 else answer


def ended(api, job, state="completed", seconds=30):
    def look():
        j = api.get(f"/api/v1/jobs/{job}")
        return j["state"] in ("completed", "dead", "cancelled") and j

    j = eventually(look, "the mail's end", seconds)
    assert j["state"] == state, j
    return j


def kill_rounds(fleet, service, mails, kills, seed):
    """Mails wait at the service's door; controld is killed while they do, again and again."""
    rng = random.Random(seed)
    gate = Gate(service, 3)
    jobs = [queue(fleet.api, to=f"u{n}@example.com") for n in range(mails)]
    for n in range(kills):
        gate.wait_full()
        service.faults = ["cut after"] * rng.randrange(2)
        fleet.controld.kill()
        gate.let(rng.randrange(1, max(2 * (mails - len(service.sent)) // (kills - n), 2)))
        fleet.controld.start()
    gate.open()
    fleet.api.login()
    for job in jobs:
        assert ended(fleet.api, job, seconds=120)["result"]["status"] == "sent"
    assert sorted(m["key"] for m in service.sent) == sorted(jobs), "nothing twice, nothing lost"
    assert sorted(m["to"][0] for m in service.sent) == sorted(f"u{n}@example.com" for n in range(mails))
    return len(service.requests)
