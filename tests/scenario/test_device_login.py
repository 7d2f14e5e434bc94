"""Device logins: all states of a code, tokens that are kept sealed and refreshed in time and in races, profiles, game sessions
with their limit, keys that change, floods, environments; and the printed flow as it is printed."""
import glob
import os
import sqlite3
import threading
import time

import portway
import pytest
from hytale import Hytale, Signer
from portway import Api, eventually

OAUTH = "/api/v1/hytale/oauth/"
KEY = "a-key-of-the-backend"
UNLIMITED = {"CONTROLD_HTTP_ROW_RATE_LIMIT": "0", "BACKEND_API_KEY": KEY}


@pytest.fixture(scope="module")
def hytale():
    h = Hytale()
    h.interval = 1
    yield h
    h.close()


@pytest.fixture(scope="module")
def control(hytale):
    fleet = portway.Fleet({**hytale.env(), **UNLIMITED})
    try:
        yield fleet.start(relays=0)
    finally:
        fleet.stop()


@pytest.fixture(autouse=True)
def usual(hytale):
    """Each test begins with a service that does what it should."""
    hytale.interval, hytale.rotate, hytale.session_limit, hytale.access_life, hytale.session_life = 1, True, 100, 3600, 3600
    hytale.answers, hytale.hold, hytale.bad_signature, hytale.token_alg, hytale.hidden = [], None, False, "EdDSA", []
    with hytale.lock:
        hytale.sessions.clear()


@pytest.fixture
def nobody(control):
    return Api(control.controld.base)


@pytest.fixture
def keyed(control):
    api = Api(control.controld.base)
    api.session.headers["X-API-Key"] = KEY
    return api


def post(api, name, body=None, expect=200, **kw):
    return api.post(OAUTH + name, body if body is not None else {}, expect=expect, **kw)


def bearer(token):
    return {"headers": {"Authorization": f"Bearer {token}"}}


def poll(api, code, first=0.0):
    """Asks as often as it may, until it is no more 'pending'; first: seconds until it may."""
    due = [time.monotonic() + first]

    def ended():
        if time.monotonic() < due[0]:
            return None
        said = post(api, "token", {"device_code": code}, expect=(200, 400))
        due[0] = time.monotonic() + said.get("interval", 1)
        return said if said.get("error") not in ("authorization_pending", "slow_down") else None

    return eventually(ended, "the end of the flow", seconds=60)


def login(api, hytale):
    code = post(api, "device-code")["device_code"]
    hytale.decide(code, "agreed")
    return poll(api, code)


def test_the_printed_flow(nobody, hytale):
    begun = nobody.call("POST", OAUTH + "device-code", expect=200)  # no body, no key
    assert begun["user_code"] == "AB12-CD34" and begun["expires_in"] == 900 and begun["interval"] == 1
    assert begun["verification_uri"] == "https://accounts.hytale.com/device" and begun["verification_uri_complete"]
    said = post(nobody, "token", {"device_code": begun["device_code"]}, expect=400)
    assert said["error"] == "authorization_pending" and said["interval"] == 1
    hytale.decide(begun["device_code"], "agreed")
    pair = poll(nobody, begun["device_code"], first=1.0)
    assert pair["account_id"] == hytale.owner and pair["token_type"] == "Bearer" and 3590 < pair["expires_in"] <= 3600
    assert pair["kept"] is False and pair["refresh_token"]
    listed = post(nobody, "profiles", **bearer(pair["access_token"]))
    assert listed["profiles"] == hytale.profiles and listed["owner"] == hytale.owner
    session = post(nobody, "game-session/new", {"profile_uuid": hytale.profiles[0]["uuid"]}, **bearer(pair["access_token"]))
    assert session["session_token"] in hytale.sessions and session["expires_at"].endswith("Z") and "session_id" not in session
    again = post(nobody, "game-session/refresh", **bearer(session["session_token"]))
    assert again["session_token"] != session["session_token"] and again["session_token"] in hytale.sessions
    post(nobody, "game-session/delete", **bearer(again["session_token"]))
    assert not hytale.sessions
    post(nobody, "game-session/delete", expect=401, **bearer(again["session_token"]))
    new = post(nobody, "refresh", {"refresh_token": pair["refresh_token"]})
    assert new["refresh_token"] != pair["refresh_token"] and new["account_id"] == hytale.owner
    assert post(nobody, "refresh", {"refresh_token": pair["refresh_token"]}, expect=400)["error"] == "invalid_grant"


def test_nothing_is_kept_of_who_has_no_key(nobody, hytale, control):
    before = control.controld.count("SELECT count(*) FROM device_accounts")
    login(nobody, hytale)
    assert control.controld.count("SELECT count(*) FROM device_accounts") == before


@pytest.mark.parametrize("state, error", [("denied", "access_denied"), ("expired", "expired_token"), ("strange_error", "strange_error")])
def test_ends_without_a_token(nobody, hytale, state, error):
    code = post(nobody, "device-code")["device_code"]
    hytale.decide(code, state)
    assert poll(nobody, code)["error"] == error
    calls = hytale.count("/oauth2/token")
    assert post(nobody, "token", {"device_code": code}, expect=400)["error"] == "expired_token"
    assert hytale.count("/oauth2/token") == calls, "it is over: the service is not asked again"


def test_who_asks_too_early_does_not_reach_the_service(nobody, hytale):
    hytale.interval = 5
    code = post(nobody, "device-code")["device_code"]
    assert post(nobody, "token", {"device_code": code}, expect=400)["error"] == "authorization_pending"
    calls = hytale.count("/oauth2/token")
    said = [post(nobody, "token", {"device_code": code}, expect=400) for _ in range(3)]
    assert {s["error"] for s in said} == {"slow_down"} and [s["interval"] for s in said] == [10, 15, 20]
    assert hytale.count("/oauth2/token") == calls
    # and when the service itself wants it slower
    code = post(nobody, "device-code")["device_code"]
    hytale.decide(code, "slow")
    said = post(nobody, "token", {"device_code": code}, expect=400)
    assert said["error"] == "slow_down" and said["interval"] == 10


def test_a_code_that_nobody_gave_out(nobody):
    assert post(nobody, "token", {"device_code": "DE123456789ABCDEF"}, expect=400)["error"] == "expired_token"
    post(nobody, "token", {}, expect=400)
    post(nobody, "token", {"device_code": ""}, expect=422)


def test_a_kept_account(keyed, nobody, hytale, control):
    pair = login(keyed, hytale)
    assert pair["kept"] is True
    who = {"account_id": pair["account_id"]}
    assert post(keyed, "profiles", who)["selected"] is None
    profile = hytale.profiles[1]["uuid"]
    post(keyed, "game-session/new", who, expect=400)  # none was selected
    assert post(keyed, "select-profile", {**who, "profile_uuid": profile})["username"] == "bob"
    post(keyed, "select-profile", {**who, "profile_uuid": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, expect=404)
    assert post(keyed, "profiles", who)["selected"] == profile
    session = post(keyed, "game-session/new", who)
    assert session["profile_uuid"] == profile and session["session_id"].startswith("dgs_")
    again = post(keyed, "game-session/refresh", {**who, "profile_uuid": profile})
    assert again["session_id"] == session["session_id"] and again["session_token"] != session["session_token"]
    post(keyed, "game-session/delete", {**who, "session_id": session["session_id"]})
    assert not hytale.sessions
    post(keyed, "game-session/refresh", who, expect=404)
    # without the key it is nobody's
    post(nobody, "profiles", who, expect=401)
    post(nobody, "profiles", expect=401)
    post(nobody, "refresh", who, expect=401)
    # nor another tenant's
    tenant = control.api.post("/api/v1/tenants", {"name": "other-login"}, expect=201)
    key = control.api.post("/api/v1/api-keys", {"name": "k", "role": "owner", "tenant_id": tenant["id"]}, expect=(201, 422))
    if "key" in key:
        other = Api(control.controld.base)
        other.session.headers["X-API-Key"] = key["key"]
        post(other, "profiles", who, expect=404)
    # a viewer's key may not
    viewer = control.api.post("/api/v1/api-keys", {"name": "v", "role": "viewer"}, expect=201)
    weak = Api(control.controld.base)
    weak.session.headers["X-API-Key"] = viewer["key"]
    post(weak, "device-code", expect=403)


def test_an_answer_that_was_lost_is_given_again(keyed, nobody, hytale):
    code = post(keyed, "device-code")["device_code"]
    hytale.decide(code, "agreed")
    first = poll(keyed, code)
    assert poll(keyed, code)["refresh_token"] == first["refresh_token"]
    assert post(nobody, "token", {"device_code": code}, expect=400)["error"] == "expired_token"  # not his


def in_flight(control):
    """Requests that controld has and has not answered, but for the one that asks."""
    page = control.api.get("/metrics")
    return next(int(float(line.split()[1])) for line in page.splitlines() if line.startswith("http_requests_in_flight ")) - 1


def test_two_refreshes_at_once_get_the_same_pair(keyed, hytale, control):
    pair = login(keyed, hytale)
    who = {"account_id": pair["account_id"]}
    hytale.hold = threading.Event()
    calls, got = hytale.count("/oauth2/token"), []
    threads = [threading.Thread(target=lambda: got.append(post(keyed, "refresh", who))) for _ in range(3)]
    for t in threads:
        t.start()
    eventually(lambda: hytale.count("/oauth2/token") == calls + 1, "the one refresh")
    eventually(lambda: in_flight(control) == 3, "the others have come")
    hytale.hold.set()
    for t in threads:
        t.join(30)
    assert len(got) == 3 and len({g["refresh_token"] for g in got}) == 1 and got[0]["refresh_token"] != pair["refresh_token"]
    assert hytale.count("/oauth2/token") == calls + 1
    # who still has the old one gets the pair of now, and it is not used up by that
    late = post(keyed, "refresh", {"refresh_token": pair["refresh_token"]})
    assert late["refresh_token"] == got[0]["refresh_token"] and hytale.count("/oauth2/token") == calls + 1
    # the one of now gets a new one
    new = post(keyed, "refresh", {"refresh_token": late["refresh_token"]})
    assert new["refresh_token"] != late["refresh_token"]


def test_a_service_that_does_not_rotate(keyed, hytale):
    hytale.rotate = False
    pair = login(keyed, hytale)
    new = post(keyed, "refresh", {"account_id": pair["account_id"]})
    assert new["refresh_token"] == pair["refresh_token"] and new["access_token"] != pair["access_token"]


def test_tokens_are_refreshed_before_they_end(keyed, hytale, control):
    hytale.access_life = 4
    pair = login(keyed, hytale)
    hytale.access_life = 3600
    used = lambda: pair["refresh_token"] in hytale.used  # noqa: E731
    eventually(used, "a refresh that nobody asked for", seconds=60, every=0.2)
    assert post(keyed, "profiles", {"account_id": pair["account_id"]})["profiles"] == hytale.profiles
    jobs = control.api.get("/api/v1/jobs?kind=device-login.refresh")["items"]
    assert jobs and {j["state"] for j in jobs} <= {"completed", "running", "queued"}


def test_an_expired_access_token_is_no_matter(keyed, hytale):
    pair = login(keyed, hytale)
    with hytale.lock:
        hytale.access.clear()
    assert post(keyed, "refresh", {"account_id": pair["account_id"]})["access_token"] != pair["access_token"]


def test_consent_that_was_taken_back(keyed, hytale, control):
    pair = login(keyed, hytale)
    who = {"account_id": pair["account_id"]}
    hytale.revoke()
    post(keyed, "profiles", who, expect=401)
    assert post(keyed, "refresh", who, expect=400)["error"] == "invalid_grant"
    calls = hytale.count("/oauth2/token")
    assert post(keyed, "refresh", who, expect=400)["error"] == "invalid_grant"
    assert hytale.count("/oauth2/token") == calls, "a token that is known to be no good is not tried again"
    ops = [r["op"] for r in control.api.get("/api/v1/audit?kind=device_login&limit=2")["items"]]
    assert ops[0] == "expired"
    login(keyed, hytale)
    post(keyed, "profiles", who)


def test_the_service_is_away_for_a_while(keyed, hytale):
    pair = login(keyed, hytale)
    who = {"account_id": pair["account_id"]}
    hytale.answers = [("/oauth2/token", 500, b"<html>"), ("/oauth2/token", 503, None)]
    for _ in range(2):
        post(keyed, "refresh", who, expect=503)
    assert post(keyed, "refresh", who)["refresh_token"] != pair["refresh_token"]


def test_the_session_limit_is_said_clearly(keyed, hytale):
    pair = login(keyed, hytale)
    who = {"account_id": pair["account_id"], "profile_uuid": hytale.profiles[0]["uuid"]}
    hytale.session_limit = 1
    post(keyed, "game-session/new", who)
    said = post(keyed, "game-session/new", who, expect=403)
    assert said["code"] == "QUOTA_EXCEEDED" and "game sessions" in said["message"] and "100" in said["message"]
    post(keyed, "game-session/new", {**who, "profile_uuid": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, expect=404)


def test_sessions_are_kept_alive(keyed, hytale):
    pair = login(keyed, hytale)
    who = {"account_id": pair["account_id"], "profile_uuid": hytale.profiles[0]["uuid"]}
    hytale.session_life = 4
    session = post(keyed, "game-session/new", who)
    hytale.session_life = 3600
    eventually(lambda: session["session_token"] not in hytale.sessions and hytale.sessions, "a refresh of the session", seconds=60, every=0.2)
    # its token is not taken any more: a new session of the same profile takes its place
    with hytale.lock:
        hytale.sessions.clear()
    again = post(keyed, "game-session/refresh", who)
    assert again["session_id"] == session["session_id"] and hytale.sessions == {again["session_token"]: who["profile_uuid"]}


def test_keys_that_change(keyed, hytale):
    pair = login(keyed, hytale)
    who = {"account_id": pair["account_id"], "profile_uuid": hytale.profiles[0]["uuid"]}
    post(keyed, "game-session/new", who)
    fetched = hytale.count("/.well-known/jwks.json")
    for _ in range(5):
        post(keyed, "game-session/new", who)
    assert hytale.count("/.well-known/jwks.json") == fetched, "kept"
    for wrong in ("bad_signature", "alg"):
        hytale.bad_signature, hytale.token_alg = wrong == "bad_signature", "RS256" if wrong == "alg" else "EdDSA"
        before = len(hytale.sessions)
        said = post(keyed, "game-session/new", who, expect=503)
        assert "cannot be trusted" in said["message"]
        hytale.bad_signature, hytale.token_alg = False, "EdDSA"
        assert len(hytale.sessions) == before, "one that is not used is ended"
    hytale.session_life = -3600
    assert "expired" in post(keyed, "game-session/new", who, expect=503)["message"]


def test_a_flood_of_unknown_keys_is_one_fetch(new_fleet, hytale):
    fleet = new_fleet(relays=0, controld_env={**hytale.env(), **UNLIMITED})
    api = Api(fleet.controld.base)
    api.session.headers["X-API-Key"] = KEY
    pair = login(api, hytale)
    who = {"account_id": pair["account_id"], "profile_uuid": hytale.profiles[0]["uuid"]}
    post(api, "game-session/new", who)
    fetched = hytale.count("/.well-known/jwks.json")
    assert fetched >= 1
    with hytale.lock:  # a new key that is not published yet
        hytale.signers.insert(0, Signer("k-new"))
        hytale.hidden = ["k-new"]
    for _ in range(20):
        post(api, "game-session/new", who, expect=503)
    assert hytale.count("/.well-known/jwks.json") <= fetched + 1
    with hytale.lock:
        hytale.signers.pop(0)
    post(api, "game-session/new", who)


def test_environments(control, keyed, hytale):
    pair = login(keyed, hytale)
    # without addresses of one's own it is production, or staging as the setting says: nothing may go there in a test
    shown = control.api.get("/api/admin/settings")["data"]
    assert shown["hytaleUseStaging"] is False
    assert control.controld.count("SELECT count(*) FROM device_accounts WHERE environment = 'own'") >= 1
    assert pair["kept"]


@pytest.mark.skipif(portway.DATABASE != "sqlite", reason="a row is changed behind controld's back")
def test_what_another_service_gave_is_not_shown_to_this_one(new_fleet, hytale):
    """Somebody looks at staging for an hour: what accounts have of production is left alone, and is good afterwards."""
    fleet = new_fleet(relays=0, controld_env={**hytale.env(), **UNLIMITED})
    api = Api(fleet.controld.base)
    api.session.headers["X-API-Key"] = KEY
    hytale.session_life = 4
    pair = login(api, hytale)
    who = {"account_id": pair["account_id"]}
    post(api, "game-session/new", {**who, "profile_uuid": hytale.profiles[0]["uuid"]})

    def move(environment):
        path = os.path.join(fleet.controld.env["CONTROLD_DATA_DIR"], "portway.db")
        with sqlite3.connect(path, timeout=60) as db:
            db.execute("UPDATE device_accounts SET environment = ?, due_ms = 0", (environment,))

    move("production")
    with hytale.lock:
        tokens, hytale.refresh, calls = hytale.refresh, {}, len(hytale.calls)
        hytale.sessions.clear()
    eventually(lambda: fleet.controld.count("SELECT count(*) FROM device_sessions WHERE failures > 0") == 1, "a look at the session")
    eventually(lambda: fleet.controld.count("SELECT count(*) FROM device_accounts WHERE failures > 0") == 1, "a look at the account")
    post(api, "refresh", {"refresh_token": pair["refresh_token"]}, expect=409)
    post(api, "game-session/refresh", who, expect=409)
    assert hytale.calls[calls:] == []
    move("own")
    with hytale.lock:
        hytale.refresh = tokens
    assert post(api, "refresh", who)["refresh_token"] != pair["refresh_token"]


def test_two_at_once_prolong_one_session(keyed, hytale):
    """Its token is not taken any more, and both begin a new one: one of these is kept, the other one does not count on."""
    pair = login(keyed, hytale)
    who = {"account_id": pair["account_id"], "profile_uuid": hytale.profiles[0]["uuid"]}
    session = post(keyed, "game-session/new", who)
    with hytale.lock:
        hytale.sessions.clear()
    hytale.hold = threading.Event()
    answers, refused = [], hytale.count("/game-session/refresh") + 2

    def prolong():
        mine = Api(keyed.base)
        mine.session.headers["X-API-Key"] = KEY
        answers.append(post(mine, "game-session/refresh", who))

    threads = [threading.Thread(target=prolong) for _ in range(2)]
    for t in threads:
        t.start()
    eventually(lambda: hytale.count("/game-session/refresh") == refused, "both are refused")
    hytale.hold.set()
    for t in threads:
        t.join()
    assert {a["session_id"] for a in answers} == {session["session_id"]}
    assert {a["session_token"] for a in answers} == set(hytale.sessions) and len(hytale.sessions) == 1


def test_tokens_are_unreadable(keyed, hytale, control):
    pair = login(keyed, hytale)
    session = post(keyed, "game-session/new", {"account_id": pair["account_id"], "profile_uuid": hytale.profiles[0]["uuid"]})
    secrets = [pair["access_token"], pair["refresh_token"], session["session_token"], session["identity_token"]]
    control.api.get("/api/v1/audit?kind=device_login&limit=50")
    for secret in secrets:
        assert secret not in control.controld.log() and secret not in control.api.last.text
    if portway.DATABASE == "sqlite":
        for path in glob.glob(os.path.join(control.controld.env["CONTROLD_DATA_DIR"], "portway.db*")):
            with open(path, "rb") as f:
                data = f.read()
            for secret in secrets:
                assert secret.encode() not in data and secret[-40:].encode() not in data, path


def test_the_audit_log_has_every_step(keyed, hytale, control):
    pair = login(keyed, hytale)
    who = {"account_id": pair["account_id"], "profile_uuid": hytale.profiles[0]["uuid"]}
    for name in ("profiles", "select-profile", "game-session/new", "game-session/refresh", "game-session/delete", "refresh"):
        post(keyed, name, {k: v for k, v in who.items() if k == "account_id" or name not in ("profiles", "refresh")})
    rows = control.api.get(f"/api/v1/audit?kind=device_login&subject={pair['account_id']}&limit=20")["items"]
    assert [r["op"] for r in rows[:7]] == ["refresh", "game_session_delete", "game_session_refresh", "game_session_new",
                                            "select_profile", "profiles", "login"]
    assert {r["actor"].split(":")[0] for r in rows[:7]} == {"key"}


def test_rates_of_their_own(new_fleet, hytale):
    fleet = new_fleet(relays=0, controld_env={**hytale.env(), "BACKEND_API_KEY": KEY, "CONTROLD_HTTP_ROW_RATE_LIMIT": "100"})
    api = Api(fleet.controld.base)
    for left in (4, 3, 2, 1, 0):
        post(api, "device-code")
        headers = api.last.headers
        assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"], headers["X-RateLimit-Window"]) == ("5", str(left), "60")
        assert 0 < int(headers["X-RateLimit-Reset"]) - time.time() < 62
    calls = hytale.count("/oauth2/device/auth")
    said = post(api, "device-code", expect=429)
    assert said["code"] == "RATE_LIMIT_EXCEEDED" and 1 <= int(api.last.headers["Retry-After"]) <= 12
    assert api.last.headers["X-RateLimit-Remaining"] == "0" and hytale.count("/oauth2/device/auth") == calls
    # another call, and another caller, have their own
    post(api, "token", {"device_code": "x"}, expect=400)
    other = Api(fleet.controld.base)
    other.session.headers["X-API-Key"] = KEY
    post(other, "device-code")


def test_the_door_can_be_closed(new_fleet, hytale):
    fleet = new_fleet(relays=0, controld_env={**hytale.env(), **UNLIMITED, "CONTROLD_HYTALE_OPEN": "false"})
    api = Api(fleet.controld.base)
    post(api, "device-code", expect=401)
    post(api, "device-code", expect=401, headers={"Authorization": "Bearer of-the-service"})
    api.session.headers["X-API-Key"] = KEY
    post(api, "device-code")
