"""How often a call may come is a matter of its row: of who asks, or of his address; told in the answer, counted, and set by a
setting that can be changed while it runs."""
import itertools
import re
import time

import portway
import pytest
import requests
from portway import Api

@pytest.fixture(scope="module")
def fleet():
    f = portway.Fleet({"CONTROLD_HTTP_ROW_RATE_LIMIT": "10",  # percent: logins 12 a minute
                       "CONTROLD_HTTP_LOGIN_RATE_LIMIT": "0", "CONTROLD_HTTP_RATE_LIMIT": "0"})
    try:
        yield f.start(relays=0)
    finally:
        f.stop()


def rows(fleet):
    """What the description of the API says: requests a minute of each row that has a limit."""
    paths = fleet.api.get("/openapi.json")["paths"]
    return {f"{method.upper()} {path}": operation["x-ratelimit-per-minute"] for path, methods in paths.items()
            for method, operation in methods.items() if "x-ratelimit-per-minute" in operation}


def drain(call, most=200):
    """Until it is refused: how many went through, and the refusal."""
    for n in range(most):
        answer = call()
        if answer.status_code == 429:
            return n, answer
    raise AssertionError("it is never refused")


def test_rows_that_have_one(fleet):
    limits = rows(fleet)
    for row in ("POST /auth/login", "POST /auth/register", "POST /auth/refresh", "POST /auth/password", "POST /api/v1/client-tokens",
                "POST /api/v1/client-tokens/refresh", "POST /api/v1/connection-codes/redeem", "POST /api/v1/anonymous/clients",
                "GET /api/v1/audit/export", "POST /api/webhooks/{id}/test", "POST /api/v1/hytale/oauth/device-code"):
        assert limits[row] > 0, row


@pytest.mark.parametrize("row, body", [
    ("POST /auth/login", {"email": "nobody{}@example.com", "password": "wrong"}), ("POST /auth/refresh", {"refresh_token": "wrong"}),
    ("POST /auth/register", {"email": "x"}), ("POST /api/v1/client-tokens", {}), ("POST /api/v1/client-tokens/refresh", {}),
    ("POST /api/v1/connection-codes/redeem", {"code": "wrong"}), ("POST /api/v1/anonymous/clients", {})])
def test_of_strangers_by_their_address(fleet, row, body):
    method, path = row.split()
    wanted = max(rows(fleet)[row] // 10, 1)
    count = itertools.count()

    def call():  # each time somebody else, for failures count for accounts as well
        return requests.request(method, fleet.controld.base + path, timeout=20,
                                json={k: v.format(next(count)) for k, v in body.items()})

    began = time.monotonic()
    n, answer = drain(call)
    back = wanted * (time.monotonic() - began) / 60  # so many come back while it is drained
    assert wanted - 2 <= n <= wanted + 2 + back, (n, wanted, back)
    assert answer.json()["code"] == "RATE_LIMIT_EXCEEDED" and 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["X-RateLimit-Limit"] == str(wanted) and answer.headers["X-RateLimit-Remaining"] == "0"
    assert answer.headers["X-RateLimit-Window"] == "60" and int(answer.headers["X-RateLimit-Reset"]) > 1_700_000_000
    text = requests.get(fleet.controld.base + "/metrics", timeout=20).text
    assert re.search(r'http_requests_total\{method="POST",status="429",path="' + re.escape(path) + r'"\} [1-9]', text)
    assert re.search(r'http_requests_refused_total\{reason="row_rate"\} [1-9]', text)
    # the row alone: the others are open
    assert fleet.api.get("/auth/me")


def test_of_each_who_is_known_by_himself(fleet):
    """Exports of one key do not use up those of another, though both come from one address."""
    keys = [fleet.api.post("/api/v1/api-keys", {"name": f"k{n}", "role": "owner"}, expect=201)["key"] for n in range(2)]
    apis = []
    for key in keys:
        api = Api(fleet.controld.base)
        api.session.headers["X-API-Key"] = key
        apis.append(api)
    def call(api):
        return api.session.get(api.base + "/api/v1/audit/export?op=nothing", timeout=20)
    n, answer = drain(lambda: call(apis[0]))
    assert 1 <= n <= 2 and int(answer.headers["Retry-After"]) >= 1
    assert call(apis[1]).status_code == 200
    assert call(apis[0]).status_code == 429


def test_calls_without_a_limit_say_none(fleet):
    for _ in range(150):
        fleet.api.get("/auth/me")
    assert "X-RateLimit-Limit" not in fleet.api.last.headers


def test_none_when_it_is_set_so(new_fleet):
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_HTTP_ROW_RATE_LIMIT": "0"})
    for _ in range(150):
        assert requests.post(fleet.controld.base + "/auth/refresh", json={"refresh_token": "x"}, timeout=20).status_code != 429
