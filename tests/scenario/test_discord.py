"""Discord webhooks and the platform's view of them: as the API prints it, within Discord's limits and rates, and gone for good
when Discord says so; events that are sent by hand."""
import json

import pytest
from discord import Discord, field
from portway import Api, eventually

ADMIN = "/api/admin/settings/webhooks"
QUICK = {"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8", "CONTROLD_WEBHOOKS_RETRY": "20ms", "CONTROLD_WEBHOOKS_RETRY_MAX": "100ms",
         "CONTROLD_WEBHOOKS_ATTEMPTS": "5", "BACKEND_API_KEY": "a-key-of-the-backend"}


@pytest.fixture
def discord():
    d = Discord()
    yield d
    d.close()


@pytest.fixture(scope="module")
def control():
    import portway  # pylint: disable=import-outside-toplevel
    fleet = portway.Fleet(QUICK)
    try:
        yield fleet.start(relays=0)
    finally:
        fleet.stop()


def printed(discord, **more):
    """The body that the reference prints, with a URL of ours."""
    return {"name": "Sync Notifications", "webhookUrl": discord.url, "type": "SYSTEM", "scope": "ADMIN", "format": "discord", **more}


def make(control, discord, **more):
    return control.api.post(ADMIN, printed(discord, **more), expect=201)["data"]


def drop(control, made):
    control.api.call("DELETE", ADMIN, {"id": made["id"]}, expect=204)


def dispatch(api, event, expect=202, **data):
    return api.post("/api/v1/webhook/dispatch", {"event": event, "data": data}, expect=expect)


def row(control, made):
    return next(w for w in control.api.get(ADMIN)["data"] if w["id"] == made["id"])


def test_the_printed_calls(control, discord):
    made = make(control, discord)
    assert made["webhookUrl"].endswith("/api/webhooks/123456/***") and "secret" not in made
    assert (made["type"], made["scope"], made["status"]) == ("SYSTEM", "ADMIN", "active")
    listed = control.api.get(ADMIN)
    assert listed["success"] is True and [w["id"] for w in listed["data"]] == [made["id"]]
    tested = control.api.call("PATCH", ADMIN, {"id": made["id"]}, expect=200)
    assert tested["success"] is True and tested["data"]["status"] == 204
    assert discord.embeds()[0]["title"] == "Webhook test"
    # what is sent back as it was shown changes nothing
    changed = control.api.put(ADMIN, {"id": made["id"], "webhookUrl": made["webhookUrl"], "name": "renamed"})
    assert changed["data"]["name"] == "renamed" and changed["data"]["format"] == "discord"
    assert control.api.call("PATCH", ADMIN, {"id": made["id"]}, expect=200)["success"] is True
    control.api.put(ADMIN, {"id": made["id"], "scope": "TENANT"}, expect=422)
    control.api.put(ADMIN, {"id": "whk_none", "name": "x"}, expect=404)
    drop(control, made)
    control.api.call("PATCH", ADMIN, {"id": made["id"]}, expect=404)
    assert "the-secret-token" not in control.controld.log()
    assert control.controld.count("SELECT count(*) FROM changes WHERE object LIKE '%the-secret-token%'") == 0


def test_a_url_of_discord_is_known(control):
    made = control.api.post(ADMIN, {"name": "d", "webhookUrl": "https://discord.com/api/webhooks/123456/abcdef", "type": "SYNC",
                                    "enabled": False}, expect=201)["data"]
    assert made["format"] == "discord" and made["webhookUrl"] == "https://discord.com/api/webhooks/123456/***"
    assert made["events"] == ["sync.*"] and made["status"] == "disabled"
    drop(control, made)


def test_the_printed_dispatch_with_a_key(control, discord):
    made = make(control, discord)
    api = Api(control.controld.base)
    api.session.headers["X-API-Key"] = "a-key-of-the-backend"
    answer = dispatch(api, "sync.completed", syncLogId="550e8400-e29b-41d4-a716-446655440000", type="full", status="COMPLETED",
                      duration="5m30s")
    assert answer["success"] is True and answer["data"]["status"] == "QUEUED"
    embed = eventually(discord.embeds, "the message")[0]
    assert embed["title"] == "Sync completed" and embed["color"] == 0x2ECC71 and embed["footer"]["text"] == answer["data"]["event_id"]
    assert embed["description"].startswith("Sent by hand by key:")
    assert field(embed, "duration") == "5m30s" and field(embed, "status") == "COMPLETED"
    assert discord.messages[0]["allowed_mentions"] == {"parse": []}
    _, headers, _ = discord.calls[0]
    assert "X-Portway-Signature" not in headers and "X-VeloFlux-Signature" not in headers
    api.get("/api/v1/audit?kind=event&limit=1")
    assert api.last.json()["items"][0]["subject"] == "sync.completed"
    dispatch(api, "sync", expect=422)
    dispatch(api, "Sync.Completed", expect=422)
    dispatch(api, "sync.*", expect=422)
    api.post("/api/v1/webhook/dispatch", {"event": "a.b", "data": [1]}, expect=422)
    dispatch(api, "sync.completed", expect=413, text="x" * 9000)
    drop(control, made)


def test_long_things_fit(control, discord):
    made = make(control, discord, events=["*"])
    dispatch(control.api, "sync.completed", **{f"{i:02}" + "n" * (300 if i < 3 else 1): "\U0001F600" * 60 for i in range(27)})
    dispatch(control.api, "sync.failed", text="\u20ac" * 2000)
    eventually(lambda: [e["title"] for e in discord.embeds()][-2:] == ["Sync completed", "Sync failed"], "both")
    assert "refused" not in deliveries(control, made)
    drop(control, made)


def deliveries(control, made):
    return [d["state"] for d in control.api.get(f"/api/webhooks/{made['id']}/deliveries")["items"]]


def test_the_bucket_is_kept(control, discord):
    discord.limit = 3
    made = make(control, discord, events=["a.*"])
    for n in range(12):
        dispatch(control.api, "a.b", n=n)
    eventually(lambda: len(discord.messages) == 12, "all of them", seconds=60)
    assert [field(e, "n") for e in discord.embeds()] == [str(n) for n in range(12)], "in order"
    assert discord.limited <= 1, "the bucket was asked for, not run into"
    drop(control, made)


def test_retry_after_is_a_fraction_of_a_second(control, discord):
    limited = json.dumps({"message": "You are being rate limited.", "retry_after": 0.35, "global": False}).encode()
    discord.answers = [(429, {"Retry-After": "3600", "Content-Type": "application/json"}, limited)]
    made = make(control, discord, events=["a.*"])
    dispatch(control.api, "a.b")
    eventually(lambda: discord.messages, "the message")
    assert 0.35 <= discord.calls[1][0] - discord.calls[0][0] < 60  # the body's word, not the header's hour
    drop(control, made)


def test_a_429_of_the_wall_in_front_is_a_long_wait(control, discord):
    discord.answers = [(429, {"Content-Type": "text/html"}, b"<html>error 1015</html>")]
    made = make(control, discord, events=["a.*"])
    dispatch(control.api, "a.b")
    eventually(lambda: row(control, made)["failures"] == 1, "the failure")
    dispatch(control.api, "a.c")
    eventually(lambda: row(control, made)["waiting"] == 2, "both wait")
    assert len(discord.calls) == 1
    drop(control, made)


@pytest.mark.parametrize("how", ["body", "header", "scope"])
def test_a_global_limit_holds_for_every_webhook(control, discord, how):
    """All webhooks of that place wait; those of another place, which whoever runs it might hold up with the same words, do not."""
    other = Discord()
    try:
        hooks = [make(control, discord, name="one", webhookUrl=discord.url.replace("123456", "111"), events=["one.limited"]),
                 make(control, discord, name="two", webhookUrl=discord.url.replace("123456", "222"), events=["two.limited"]),
                 make(control, other, name="three", webhookUrl=other.url, events=["two.limited"])]
        headers = {"Content-Type": "application/json", "Retry-After": "5", **{"header": {"X-RateLimit-Global": "true"},
                                                                                "scope": {"X-RateLimit-Scope": "global"}}.get(how, {})}
        said = {"message": "You are being rate limited.", "retry_after": 5.0, "global": how == "body"}
        discord.answers = [(429, headers, json.dumps(said).encode())]
        dispatch(control.api, "one.limited", n=1)
        eventually(lambda: len(discord.calls) == 1, "the refusal")
        eventually(lambda: row(control, hooks[0])["lastStatus"] == 429, "written down")
        dispatch(control.api, "two.limited", n=2)
        eventually(lambda: other.messages, "the other place")
        tested = control.api.call("PATCH", ADMIN, {"id": hooks[1]["id"]}, expect=200)
        assert len(discord.calls) == 1 and "pause" in json.dumps(tested)
        eventually(lambda: len(discord.messages) == 2, "both of them", 30)
        assert discord.calls[1][0] - discord.calls[0][0] >= 4.9
        assert "webhooks_place_holds_total" in control.api.get("/metrics")
    finally:
        other.close()
        for made in hooks:
            drop(control, made)


def test_gone_is_gone(control, discord):
    other = Discord()
    watcher = make(control, other, events=["webhook.pause"])
    for status in (404, 401):
        discord.answers = [(status, {"Content-Type": "application/json"}, b'{"code": 10015, "message": "Unknown Webhook"}')]
        made = make(control, discord, events=["a.*"])
        calls = len(discord.calls)
        dispatch(control.api, "a.b")
        eventually(lambda made=made: row(control, made)["status"] == "paused", "the pause")
        dispatch(control.api, "a.b")
        eventually(lambda made=made: row(control, made)["waiting"] == 2, "both wait")
        assert row(control, made)["pausedReason"] == f"the endpoint answered {status}" and len(discord.calls) == calls + 1
        drop(control, made)
    eventually(lambda: len(other.messages) == 2, "word of it")
    assert other.embeds()[0]["color"] == 0xE67E22
    drop(control, watcher)
    other.close()


def test_the_platform_hears_all_tenants_and_nobody_else_does(control, discord):
    tenant = control.api.post("/api/v1/tenants", {"name": "green"}, expect=201)
    control.api.post("/api/v1/users", {"email": "o@green.example", "username": "green-owner", "password": "a long password",
                                       "role": "owner", "tenant_id": tenant["id"]}, expect=201)
    owner = Api(control.controld.base)
    owner.login("o@green.example", "a long password")
    mine = Discord()
    theirs = owner.post("/api/webhooks", {"url": mine.url, "events": ["*"], "format": "discord"}, expect=201)
    made = make(control, discord, events=["client.*", "setting.*"])
    owner.post("/api/v1/clients", {"name": "of green"}, expect=201)
    control.api.post("/api/v1/clients", {"name": "of default"}, expect=201)
    control.api.post("/api/admin/settings", {"autoSyncInterval": 600}, expect=200)
    eventually(lambda: len(discord.messages) == 3, "three changes")
    assert [field(e, "name") for e in discord.embeds()] == ["of green", "of default", None]
    eventually(lambda: "of green" in [field(e, "name") for e in mine.embeds()], "the tenant's own")
    assert "of default" not in [field(e, "name") for e in mine.embeds()] and "Setting updated" not in [e["title"] for e in mine.embeds()]
    # nobody else sees or uses it
    assert [w["id"] for w in owner.get("/api/webhooks")["items"]] == [theirs["id"]]
    owner.get(f"/api/webhooks/{made['id']}", expect=404)
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        owner.call(method, ADMIN, {} if method != "GET" else None)
        assert owner.last.status_code == 403, method
    assert {w["scope"] for w in control.api.get(ADMIN)["data"]} == {"ADMIN", "TENANT"}
    drop(control, made)
    mine.close()
