"""Mail: queued over the API, rendered, sent once whatever happens on the way; not to whom it does not reach."""
import portway
import pytest
import requests
from fake_http import Answer
from mails import DATA, ENV, ended, kill_rounds, queue
from panels import Pterodactyl
from portway import eventually
from resend import KEY, Resend, event
from sync import point_at, start, sync, wait


@pytest.fixture(scope="module")
def service():
    with Resend() as fake:
        yield fake


@pytest.fixture(scope="module")
def control(service):
    fleet = portway.Fleet({**ENV, "CONTROLD_MAIL_URL": service.url})
    try:
        yield fleet.start(relays=0)
    finally:
        fleet.stop()


@pytest.fixture
def api(control, service):
    service.sent.clear()
    service.requests.clear()
    service.faults.clear()
    return control.api


def test_as_the_document_prints_it(api, service):
    job = queue(api, subject="Welcome to NodeByte!")
    assert ended(api, job)["result"]["status"] == "sent"
    mail = service.sent[0]
    assert mail["to"] == ["user@example.com"] and mail["subject"] == "Welcome to NodeByte!"
    assert mail["from"] == "Portway <noreply@example.com>" and mail["key"] == job
    assert "John Doe" in mail["text"] and DATA["verifyUrl"] in mail["text"] and "<" not in mail["text"]
    assert 'href="https://app.example.com/verify/abc123?a=1&amp;b=2"' in mail["html"]


def test_whom_it_goes_to_is_for_the_platform_to_know(control, api):
    person = {"email": "viewer@example.com", "password": "long enough to pass", "role": "owner"}
    api.post("/api/v1/users", person, expect=201)
    other = control.controld.api()
    other.login(person["email"], person["password"])
    job = queue(api)
    ended(api, job)
    other.get(f"/api/v1/jobs/{job}", expect=404)
    other.post(f"/api/v1/jobs/{job}/retry", expect=404)
    assert not other.get("/api/v1/jobs?kind=email")["items"] and job in [j["id"] for j in api.get("/api/v1/jobs?limit=10")["items"]]


def test_every_template(api, service):
    values = {"welcome": {}, "verify": {"verifyUrl": "https://e.example/v"}, "reset": {"resetUrl": "http://e.example/r"},
              "alert": {"title": "Disk", "message": "92 % full", "severity": "warning"},
              "sync_report": {"status": "COMPLETED", "itemsTotal": 12, "itemsSynced": 12, "duration": "5m30s"}}
    listed = api.get("/api/v1/email/templates")["data"]
    assert {t["name"] for t in listed} == set(values)
    for name, data in values.items():
        ended(api, queue(api, template=name, data=data))
    assert len(service.sent) == 5
    for mail in service.sent:
        assert mail["subject"] and mail["text"] and mail["html"].startswith("<!doctype html>") and "{{" not in str(mail)
    assert {"[warning] Disk", "Sync full: COMPLETED"} <= {m["subject"] for m in service.sent}


def test_values_can_only_be_values(api, service):
    evil = "<script>alert(1)</script>\"'&\r\nBcc: x@example.com {{verifyUrl}}"
    ended(api, queue(api, template="alert", data={"title": evil, "message": evil}))
    mail = service.sent[0]
    assert "<script" not in mail["html"] and "{{verifyUrl}}" in mail["html"] and "\n" not in mail["subject"]
    for url in ("javascript:alert(1)", "data:text/html,x", "https://", "https://a b", "https://a\"onclick=x", "//x", "x"):
        queue(api, template="verify", data={"verifyUrl": url}, expect=422)


def test_what_is_refused(api, service):
    for to in ("nobody", "a@", "@b.example", "a@b@c.example", "a b@example.com", "a@example.com\r\nBcc: c@example.com", "x" * 250 + "@a.example"):
        queue(api, to=to, expect=422)
    queue(api, template="horses", expect=422)
    queue(api, data={"name": "x", "horses": 1}, expect=422)
    queue(api, data={"name": {"first": "x"}}, expect=422)
    queue(api, template="verify", data={}, expect=422)
    queue(api, data=[], expect=422)
    queue(api, subject="two\nlines", expect=422)
    queue(api, data={"name": "x" * 20000}, expect=(413, 422))
    api.post("/api/v1/email/queue", {"template": "welcome"}, expect=400)
    portway.Api(api.base).post("/api/v1/email/queue", {"to": "a@example.com", "template": "welcome"}, expect=401)
    assert not service.sent


def test_values_are_not_shown(control, api):
    job = queue(api, template="reset", data={"resetUrl": "https://e.example/very-secret-token"})
    ended(api, job)
    api.get(f"/api/v1/jobs/{job}")
    assert "very-secret" not in api.last.text and "very-secret" not in control.controld.log() and KEY not in control.controld.log()


TROUBLE = {
    "500 once": [Answer(500, {"statusCode": 500, "name": "application_error", "message": "x"})],
    "no answer": ["refuse"],
    "taken, and the answer lost": ["cut after"],
    "429": [Answer(429, {"statusCode": 429, "name": "rate_limit_exceeded", "message": "x"}, {"retry-after": "1"})],
    "429 that says nothing": [Answer(429, b"<html>", kind="text/html")],
    "at it already": [Answer(409, {"statusCode": 409, "name": "concurrent_idempotent_requests", "message": "x"})],
    "cut": ["cut"],
    "a gateway": [Answer(502, b"<html>", kind="text/html"), Answer(503), Answer(504)],
}


@pytest.mark.parametrize("what", TROUBLE)
def test_trouble_on_the_way(api, service, what):
    service.faults = list(TROUBLE[what])
    job = queue(api)
    assert ended(api, job, seconds=60)["result"]["status"] == "sent"
    assert [m["key"] for m in service.sent] == [job]
    assert {r.headers["idempotency-key"] for r in service.requests} == {job}


NO = {"quota": (429, "daily_quota_exceeded"), "invalid": (422, "validation_error"), "key": (401, "restricted_api_key"),
      "domain": (403, "validation_error")}


@pytest.mark.parametrize("what", NO)
def test_what_is_not_tried_again(api, service, what):
    status, name = NO[what]
    service.faults = [Answer(status, {"statusCode": status, "name": name, "message": "no"})] * 5
    assert name in ended(api, queue(api), "dead")["error"]["message"]
    assert len(service.requests) == 1


def test_a_key_that_was_used_for_other_words(api, service):
    service.faults = [Answer(409, {"statusCode": 409, "name": "invalid_idempotent_request", "message": "x"})]
    assert "before" in ended(api, queue(api))["result"]["remark"]
    assert len(service.requests) == 1


def test_not_set_up(api, service):
    api.post("/api/admin/settings", {"emailFrom": ""}, expect=200)
    assert "EMAIL_FROM" in ended(api, queue(api), "dead")["error"]["message"] and not service.requests
    api.post("/api/admin/settings", {"emailFrom": None}, expect=200)


def test_who_bounced_gets_no_more(control, api, service):
    def post(headers, body):
        return requests.post(control.controld.base + "/api/v1/email/events", data=body, headers=headers, timeout=10).status_code

    assert post(*event("email.bounced", ["Full@Example.com"], bounce={"type": "Transient"})) == 204
    ended(api, queue(api, to="full@example.com"))
    assert post(*event("email.delivered", ["good@example.com"])) == 204
    assert post(*event("email.bounced", ["Gone@Example.com", "nonsense"], bounce={"type": "Permanent"})) == 204
    assert post(*event("email.complained", ["angry@example.com"])) == 204
    service.sent.clear()
    for to in ("gone@example.com", "GONE@example.com", "angry@example.com"):
        assert ended(api, queue(api, to=to))["result"]["status"] == "suppressed"
    ended(api, queue(api, to="good@example.com"))
    assert [m["to"] for m in service.sent] == [["good@example.com"]]
    listed = api.get("/api/v1/email/suppressions")["items"]
    assert [(s["address"], s["reason"]) for s in listed] == [("angry@example.com", "complained"), ("gone@example.com", "bounced")]
    api.delete("/api/v1/email/suppressions/Gone@example.com")
    api.delete("/api/v1/email/suppressions/gone@example.com", expect=404)
    assert ended(api, queue(api, to="gone@example.com"))["result"]["status"] == "sent"


def test_events_of_others(control, api):
    def post(headers, body):
        return requests.post(control.controld.base + "/api/v1/email/events", data=body, headers=headers, timeout=10).status_code

    other = "whsec_" + "QUJD" * 8
    for headers, body in (event("email.bounced", ["a@example.com"], secret=other), event("email.bounced", ["a@example.com"], at=1700000000),
                          ({"Content-Type": "application/json"}, "{}")):
        assert post(headers, body) == 401
    headers, body = event("email.bounced", ["a@example.com"])
    assert post(headers, body.replace("a@", "b@")) == 401
    assert "a@example.com" not in [s["address"] for s in api.get("/api/v1/email/suppressions")["items"]]


def test_how_a_sync_ended(control, api, service):
    """Told by mail to who is set for that: once for each sync that went wrong, or for all of them."""
    with Pterodactyl().fill() as panel:
        point_at(api, panel, syncReportEmail="ops@example.com")
        service.sent.clear()
        sync(api, "locations")
        point_at(api, panel, key="ptla_wrong")
        failed = wait(api, start(api, "locations"), "FAILED")
        eventually(lambda: service.sent, "the report")
        point_at(api, panel, syncReportAll=True)
        done = sync(api)
        eventually(lambda: len(service.sent) == 2, "the second report")
        first, second = service.sent
        assert first["to"] == second["to"] == ["ops@example.com"]
        assert first["subject"] == "Sync locations: FAILED" and failed["error"].split(":")[0] in first["text"]
        assert second["subject"] == "Sync full: COMPLETED" and f"{done['itemsSynced']} of {done['itemsTotal']}" in second["text"]
        api.post("/api/admin/settings", {"syncReportEmail": "nobody at all"}, expect=422)
        point_at(api, None, syncReportEmail=None, syncReportAll=None)


def test_a_rate_of_its_own(new_fleet):
    """Thirty at once: as many in a second as the service takes; whoever waits holds no worker."""
    with Resend(limit=8) as service:
        fleet = new_fleet(relays=0, controld_env={**ENV, "CONTROLD_MAIL_URL": service.url, "CONTROLD_MAIL_RATE": "7",
                                                  "CONTROLD_JOBS_WORKERS": "4"})
        jobs = [queue(fleet.api, to=f"u{n}@example.com") for n in range(30)]
        quick = fleet.api.post("/api/v1/jobs", {"kind": "check"}, expect=202)["id"]
        ended(fleet.api, quick)
        for job in jobs:
            ended(fleet.api, job, seconds=60)
        assert sorted(m["key"] for m in service.sent) == sorted(jobs)


def test_killed_in_the_middle(new_fleet):
    with Resend() as service:
        fleet = new_fleet(relays=0, controld_env={**ENV, "CONTROLD_MAIL_URL": service.url, "CONTROLD_JOBS_WORKERS": "4"})
        kill_rounds(fleet, service, 40, 4, seed=4)
