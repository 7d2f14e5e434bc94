"""Browsers: which pages may call the API is CORS_ORIGINS, exactly."""
import portway
import pytest
import requests

GOOD = "https://panel.example.com"


@pytest.fixture(scope="module")
def base():
    f = portway.Fleet({"CORS_ORIGINS": f"{GOOD}, http://localhost:3000"})
    try:
        f.start(relays=0)
        yield f.controld.base
    finally:
        f.stop()


def allowed(base, origin, method="GET", **headers):
    answer = requests.request(method, base + "/api/v1/mappings", headers={"Origin": origin, **headers}, timeout=60)
    return answer.headers.get("Access-Control-Allow-Origin"), answer


def test_pages_that_may(base):
    for origin in (GOOD, "http://localhost:3000"):
        said, answer = allowed(base, origin)
        assert said == origin and "Origin" in answer.headers["Vary"]
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert all(name in exposed for name in ("X-Request-ID", "Location", "Retry-After", "X-RateLimit-Remaining", "ETag"))
        assert "Access-Control-Allow-Credentials" not in answer.headers  # nothing here is a cookie


def test_a_preflight(base):
    said, answer = allowed(base, GOOD, "OPTIONS", **{"Access-Control-Request-Method": "PUT",
                                                      "Access-Control-Request-Headers": "authorization, x-api-key, idempotency-key"})
    assert said == GOOD and answer.status_code == 204 and answer.content == b""
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    names = answer.headers["Access-Control-Allow-Headers"].lower()
    assert all(n in names for n in ("authorization", "x-api-key", "content-type", "idempotency-key", "if-match"))
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize("origin", [
    "https://evil.example.com", "null", "", "https://panel.example.com.evil.com", "https://evil-panel.example.com", "http://panel.example.com",
    "https://panel.example.com:444", "https://panel.example.com/", "HTTPS://panel.example.com", "https://panel.example.com ,x", "*",
    "https://panel.example.com, http://localhost:3000", "http://localhost:30000", ","])
def test_pages_that_may_not(base, origin):
    for method in ("GET", "OPTIONS"):
        said, answer = allowed(base, origin, method)
        assert said is None and "Access-Control-Allow-Methods" not in answer.headers


def test_errors_are_readable_for_who_may(base):
    answer = requests.get(base + "/api/v1/mappings", headers={"Origin": GOOD}, timeout=60)
    assert answer.status_code == 401 and answer.headers["Access-Control-Allow-Origin"] == GOOD
    answer = requests.get(base + "/nothing", headers={"Origin": GOOD}, timeout=60)
    assert answer.status_code == 404 and answer.headers["Access-Control-Allow-Origin"] == GOOD


def test_all_and_none(new_fleet):
    everybody = new_fleet(relays=0, controld_env={"CORS_ORIGINS": "*"})
    assert allowed(everybody.controld.base, "https://anything.example")[0] in ("*", "https://anything.example")
    nobody = new_fleet(relays=0)
    assert allowed(nobody.controld.base, GOOD)[0] is None
