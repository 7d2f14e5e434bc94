"""What holds for every row of the API: envelope, validation, paging, ids, ETag, idempotency, headers, limits, OpenAPI."""
import base64
import concurrent.futures
import gzip
import json
import re
import socket

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from portway import Api, eventually

MAPPING = {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1", "target_port": 6379}


def envelope(answer, code):
    assert answer["success"] is False and answer["error"] is True and answer["code"] == code, answer
    assert answer["message"] and answer["request_id"] and re.match(r"\d{4}-\d\d-\d\dT.*Z$", answer["timestamp"])
    assert answer["documentation_url"].endswith(code)
    return answer["details"] if "details" in answer else None


def test_all_errors_of_a_body_at_once(fleet):
    answer = fleet.api.post("/api/v1/mappings", {"protocol": "icmp", "source_port": 70000, "target_port": "x", "nonsense": 1,
                                                 "limits": {"max_connections": -1}}, expect=422)
    details = envelope(answer, "VALIDATION_ERROR")
    fields = {d["field"]: d for d in details}
    assert {"protocol", "source_port", "target_port", "nonsense", "limits.max_connections"} <= set(fields)
    assert fields["source_port"]["provided_value"] in (70000, "70000") and "65535" in fields["source_port"]["message"]
    assert "tcp" in fields["protocol"]["message"]


def test_missing_fields_are_400_and_one_is_an_object(fleet):
    answer = fleet.api.post("/api/v1/mappings", {"protocol": "tcp", "target_host": "127.0.0.1"}, expect=400)
    details = envelope(answer, "VALIDATION_ERROR")
    assert details["field"] == "target_port" and details["constraint"] == "required"


@pytest.mark.parametrize("body", [b"{", b"[]", b"nul", b'{"protocol":"tcp","protocol":"udp"}', b'{"a":"\xff"}', b"[" * 5000, b"\0"])
def test_bodies_that_cannot_be_parsed(fleet, body):
    answer = fleet.api.session.post(fleet.api.base + "/api/v1/mappings", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    envelope(answer.json(), answer.json()["code"])


def test_content_type_is_required_with_a_body(fleet):
    answer = fleet.api.session.post(fleet.api.base + "/api/v1/mappings", data=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    envelope(answer.json(), "UNSUPPORTED_MEDIA_TYPE")


def test_unknown_path_method_and_trailing_slash(fleet):
    envelope(fleet.api.get("/api/v1/nothing", expect=404), "NOT_FOUND")
    envelope(fleet.api.call("PATCH", "/api/v1/mappings", {}, expect=405), "METHOD_NOT_ALLOWED")
    assert "GET" in fleet.api.last.headers["Allow"]
    assert "items" in fleet.api.get("/api/v1/mappings/")
    assert fleet.api.session.head(fleet.api.base + "/health").status_code == 200


def test_credentials(fleet):
    nobody = Api(fleet.controld.base)
    envelope(nobody.get("/api/v1/mappings", expect=401), nobody.get("/api/v1/mappings", expect=401)["code"])
    for header in ("Bearer x", "Bearer a.b.c", "Basic eDp5", "Bearer " + "a" * 5000):
        answer = requests.get(fleet.controld.base + "/api/v1/mappings", headers={"Authorization": header}, timeout=60)
        assert answer.status_code == 401
    envelope(nobody.post("/auth/login", {"email": "admin@example.com", "password": "wrong password"}, expect=401),
             "AUTHENTICATION_FAILED")


def test_login_answer_has_every_member(fleet):
    answer = Api(fleet.controld.base).login()
    assert answer["success"] is True and answer["expires_in"] == 3600 and answer["token"].count(".") == 2
    for member in ("user_id", "id", "email", "username", "tenant_id", "role", "roles", "created_at"):
        assert member in answer["user"], member
    assert answer["data"]["access_token"] == answer["token"] and answer["data"]["refresh_token"] == answer["refresh_token"]
    me = fleet.api.get("/auth/me/")
    assert me["data"]["email"] == "admin@example.com"


def test_refresh_rotates_and_an_old_token_ends_the_family(fleet):
    api = Api(fleet.controld.base)
    first = api.login()
    second = api.post("/auth/refresh", {"refresh_token": first["refresh_token"]}, expect=200)
    again = api.post("/auth/refresh", {"refresh_token": first["refresh_token"]}, expect=200)
    assert again["refresh_token"] == second["refresh_token"], "a lost answer is given again"
    third = api.post("/auth/refresh", {"refresh_token": second["refresh_token"]}, expect=200)
    api.post("/auth/refresh", {"refresh_token": first["refresh_token"]}, expect=401)
    api.post("/auth/refresh", {"refresh_token": third["refresh_token"]}, expect=401)


def test_logout_holds_at_once(fleet):
    api = Api(fleet.controld.base)
    api.login()
    api.get("/auth/me")
    api.post("/auth/logout", {}, expect=(200, 204))
    api.get("/auth/me", expect=401)


def test_jwks_verifies_the_token(fleet):
    token = Api(fleet.controld.base).login()["token"]
    head, claims, signature = token.split(".")
    decode = lambda s: base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))  # noqa: E731
    kid = json.loads(decode(head))["kid"]
    keys = requests.get(fleet.controld.base + "/.well-known/jwks.json", timeout=60).json()["keys"]
    key = next(k for k in keys if k["kid"] == kid)
    assert key["kty"] == "OKP" and key["crv"] == "Ed25519"
    Ed25519PublicKey.from_public_bytes(decode(key["x"])).verify(decode(signature), f"{head}.{claims}".encode())
    body = json.loads(decode(claims))
    assert body["iss"] == "portway" and body["exp"] - body["iat"] == 3600 and body["tenant_id"] and body["jti"]


def test_paging_walks_everything_once(fleet):
    made = {fleet.api.post("/api/v1/mappings", {**MAPPING, "name": f"page-{i}"}, expect=201)["id"] for i in range(7)}
    seen, cursor = [], ""
    while True:
        page = fleet.api.get(f"/api/v1/mappings?limit=3{'&cursor=' + cursor if cursor else ''}")
        assert len(page["items"]) <= 3
        seen += [m["id"] for m in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) and made <= set(seen)
    for bad in ("limit=0", "limit=x", "limit=100000", "cursor=%00", "nonsense=1"):
        fleet.api.get(f"/api/v1/mappings?{bad}", expect=(400, 422))
    for i in made:
        fleet.api.delete(f"/api/v1/mappings/{i}")


def walk(api, path, limit=2):
    """Every item of a list, page by page, each once."""
    items, cursor = [], ""
    while cursor is not None:
        sign = "&" if "?" in path else "?"
        page = api.get(f"{path}{sign}limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next_cursor"]
    assert len({i["id"] for i in items}) == len(items)
    return items


def test_lists_of_the_fleet_and_of_keys_have_pages_and_filters(fleet):
    api = fleet.api
    for i in range(5):
        api.post("/api/v1/groups", {"name": f"page-g{i}"}, expect=201)
        api.post("/api/v1/nodes/join-tokens", {"name": f"page-n{i}", "group": "page-g0" if i < 3 else "page-g1"}, expect=201)
        api.post("/api/v1/api-keys", {"name": f"page-{i}", "role": "viewer" if i < 3 else "operator"}, expect=201)

    def names(path):
        return [i["name"] for i in walk(api, path)]
    groups = [f"page-g{i}" for i in range(5)]
    assert set(groups) <= set(names("/api/v1/groups")) and names("/api/v1/groups?q=PAGE-g") == groups
    assert "default" in names("/api/v1/groups") and names("/api/v1/groups?q=none") == []
    nodes = [f"page-n{i}" for i in range(5)]
    assert set(names("/api/v1/nodes")) >= {"edge-1", *nodes}
    assert names("/api/v1/nodes?group=page-g0") == nodes[:3] and names("/api/v1/nodes?q=page-n&group=page-g1") == nodes[3:]
    assert names("/api/v1/nodes?status=online") == ["edge-1"] and names("/api/v1/nodes?status=pending") == nodes
    assert names("/api/v1/nodes?status=revoked") == []
    tokens = "/api/v1/nodes/join-tokens"
    assert names(tokens + "?status=open") == nodes and names(tokens + "?status=used") == ["edge-1"]
    assert names(tokens + "?node=page-n3") == ["page-n3"] and names(tokens + "?status=expired") == []
    keys = [f"page-{i}" for i in range(5)]
    assert set(keys) <= set(names("/api/v1/api-keys"))
    assert names("/api/v1/api-keys?role=operator") == keys[3:] and names("/api/v1/api-keys?user_id=usr_none") == []
    for path in ("/api/v1/groups", "/api/v1/nodes", tokens, "/api/v1/api-keys"):
        envelope(api.get(path + "?limit=0", expect=422), "VALIDATION_ERROR")
        envelope(api.get(path + "?colour=red", expect=422), "VALIDATION_ERROR")
        row = api.get("/openapi.json")["paths"][path]["get"]
        assert {"limit", "cursor"} <= {p["name"] for p in row["parameters"]}
        assert "next_cursor" in json.dumps(row["responses"]) or "List" in json.dumps(row["responses"])


def test_etag_and_if_match(fleet):
    made = fleet.api.post("/api/v1/mappings", MAPPING, expect=201)
    url = f"/api/v1/mappings/{made['id']}"
    fleet.api.get(url)
    etag = fleet.api.last.headers["ETag"]
    fleet.api.put(url, {"name": "one"}, headers={"If-Match": etag})
    envelope(fleet.api.put(url, {"name": "two"}, expect=412, headers={"If-Match": etag}), "PRECONDITION_FAILED")
    assert fleet.api.get(url)["name"] == "one"
    fleet.api.delete(url)


def test_put_changes_only_what_is_sent_and_null_resets(fleet):
    made = fleet.api.post("/api/v1/mappings", {**MAPPING, "name": "n", "description": "d", "limits": {"max_connections": 5}},
                          expect=201)
    url = f"/api/v1/mappings/{made['id']}"
    changed = fleet.api.put(url, {"description": "e"})
    assert changed["name"] == "n" and changed["description"] == "e" and changed["limits"]["max_connections"] == 5
    assert fleet.api.put(url, {"limits": None})["limits"]["max_connections"] == 0
    fleet.api.delete(url)


def test_idempotency_key(fleet):
    headers = {"Idempotency-Key": "key-1"}
    first = fleet.api.post("/api/v1/mappings", MAPPING, expect=201, headers=headers)
    second = fleet.api.post("/api/v1/mappings", MAPPING, expect=201, headers=headers)
    assert first["id"] == second["id"]
    envelope(fleet.api.post("/api/v1/mappings", {**MAPPING, "target_port": 1}, expect=409, headers=headers), "IDEMPOTENCY_CONFLICT")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def one(_):
            return requests.post(fleet.controld.base + "/api/v1/mappings", json=MAPPING, timeout=60,
                                 headers={**fleet.api.session.headers, "Idempotency-Key": "key-2"})
        answers = list(pool.map(one, range(8)))
    assert {a.status_code for a in answers} <= {201, 409}
    assert len({a.json()["id"] for a in answers if a.status_code == 201}) == 1


def test_names_with_quotes_newlines_and_unicode_come_back(fleet):
    name = "O'Neil \"x\"\n\t; DROP TABLE mappings; -- Ω 日本 \U0001f600"
    made = fleet.api.post("/api/v1/mappings", {**MAPPING, "name": name}, expect=201)
    assert fleet.api.get(f"/api/v1/mappings/{made['id']}")["name"] == name
    fleet.api.delete(f"/api/v1/mappings/{made['id']}")
    fleet.api.get("/api/v1/mappings/" + "a" * 3000, expect=(404, 414, 400))
    fleet.api.get("/api/v1/mappings/%00%0a..%2f..", expect=(400, 404))


def test_headers_of_every_answer(fleet):
    fleet.api.get("/api/v1/mappings", headers={"X-Request-ID": "my-id-1"})
    headers = fleet.api.last.headers
    assert headers["X-Request-ID"] == "my-id-1"
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert "Content-Security-Policy" in headers and "Strict-Transport-Security" not in headers
    fleet.api.get("/api/v1/mappings", headers={"X-Request-ID": "bad id\x7f" * 50}, expect=(200, 400))
    assert "bad" not in fleet.api.last.headers.get("X-Request-ID", "")


def test_cors_only_for_listed_origins(new_fleet):
    fleet = new_fleet(relays=0, controld_env={"CORS_ORIGINS": "https://panel.example"})
    ask = {"Access-Control-Request-Method": "PUT", "Origin": "https://panel.example"}
    answer = requests.options(fleet.controld.base + "/api/v1/mappings", headers=ask, timeout=60)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://panel.example"
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"] and answer.headers["Access-Control-Max-Age"] == "86400"
    other = requests.options(fleet.controld.base + "/api/v1/mappings", headers={**ask, "Origin": "https://evil.example"}, timeout=60)
    assert "Access-Control-Allow-Origin" not in other.headers


def test_login_throttling_and_other_calls_stay_quick(fleet):
    def wrong(_):
        return requests.post(fleet.controld.base + "/auth/login", timeout=60,
                             json={"email": "nobody@example.com", "password": "wrong password"})
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(wrong, range(48)))
    codes = [a.status_code for a in answers]
    assert 429 in codes and set(codes) <= {401, 429, 503}, codes
    assert all(a.headers.get("Retry-After") for a in answers if a.status_code in (429, 503))
    fleet.api.get("/api/v1/mappings")


RAW = [
    ("no host", b"GET /health HTTP/1.1\r\n\r\n", 400),
    ("two hosts", b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("length and chunked", b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("two lengths", b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{}{}", 400),
    ("signed length", b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}", 400),
    ("space before colon", b"GET /health HTTP/1.1\r\nHost: a\r\nX-Y : z\r\n\r\n", 400),
    ("folded header", b"GET /health HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n more\r\n\r\n", 400),
    ("junk", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", None),
    ("good", b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
]


@pytest.mark.parametrize("what,raw,status", RAW, ids=[r[0] for r in RAW])
def test_strict_requests(fleet, what, raw, status):
    with socket.create_connection(("127.0.0.1", fleet.controld.http_port), 5) as s:
        s.settimeout(20)
        s.sendall(raw)
        answer = b""
        try:
            s.shutdown(socket.SHUT_WR)
            while data := s.recv(65536):
                answer += data
        except OSError:  # a reset, which shutdown() calls "not connected"
            pass
    got = int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else None
    assert got == status or (status is None and got == 400), (what, answer[:200])


def test_limits_of_size(fleet):
    big = requests.post(fleet.controld.base + "/auth/login", data=b"{" + b" " * (8 << 20), timeout=60,
                        headers={"Content-Type": "application/json"})
    assert big.status_code == 413
    with pytest.raises((requests.RequestException, AssertionError)):
        answer = requests.get(fleet.controld.base + "/health", headers={"X-Big": "x" * 200_000}, timeout=60)
        assert answer.status_code < 400
    bomb = gzip.compress(b" " * (64 << 20))
    answer = requests.post(fleet.controld.base + "/auth/login", data=bomb, timeout=60,
                           headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    assert answer.status_code in (400, 413, 415)


def test_a_slow_request_is_ended(new_fleet):
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_HTTP_HEADER_TIMEOUT": "1s"})
    with socket.create_connection(("127.0.0.1", fleet.controld.http_port), 5) as s:
        s.settimeout(0.2)
        s.sendall(b"GET /health HTTP/1.1\r\n")
        ended = False
        for i in range(100):
            try:
                s.sendall(b"X-%d: y\r\n" % i)
                if s.recv(1000) is not None:
                    ended = True
                    break
            except TimeoutError:
                continue
            except OSError:
                ended = True
                break
        assert ended, "a header a moment keeps a connection for ever"


def test_health_ready_and_metrics(fleet):
    health = requests.get(fleet.controld.base + "/health", timeout=60).json()
    assert health["status"] == "healthy" and {c["name"] for c in health["checks"]} >= {"database"}
    assert all(c["status"] == "UP" for c in health["checks"]) and re.match(r"(\d+h)?(\d+m)?\d+s$", health["uptime"])
    text = requests.get(fleet.controld.base + "/metrics", timeout=60).text
    assert re.search(r'^http_requests_total\{method="GET",status="200",path="/health"\} [1-9]', text, re.M)
    assert "http_request_duration_seconds_bucket" in text
    relay = requests.get(f"http://127.0.0.1:{fleet.relay.metrics_port}/metrics", timeout=60).text
    for page in (text, relay):
        families = re.findall(r"^# HELP (\S+)", page, re.M)
        assert len(families) == len(set(families)), "a family stands on a page once"


def test_every_row_of_the_description_answers(fleet):
    description = requests.get(fleet.controld.base + "/openapi.json", timeout=60).json()
    assert description["openapi"].startswith("3.") and len(description["paths"]) > 20
    for path, methods in description["paths"].items():
        for method, row in methods.items():
            assert row["summary"] and row["responses"], (method, path)
            url = re.sub(r"\{[^}]+\}", "none_00000000000000000000", path)
            nobody = requests.request(method.upper(), fleet.controld.base + url, json={}, timeout=60)
            assert nobody.status_code not in (404, 405, 500, 501) or "{" in path, (method, path, nobody.status_code, nobody.text)
            public = row.get("security") == []
            if not public:
                assert nobody.status_code == 401, (method, path, nobody.status_code)
                if path == "/auth/logout":  # would end the session that the other rows are called with
                    continue
                body = None if method in ("get", "delete") else {}
                # only the head: an answer that goes on has no end
                with fleet.api.session.request(method.upper(), fleet.controld.base + url, json=body, timeout=60,
                                               stream=True) as known:
                    assert known.status_code < 500, (method, path, known.status_code)


def test_audit_tells_who_did_what(fleet):
    # switched off: a picked port that another program has would be changed of its own accord
    made = fleet.api.post("/api/v1/mappings", {**MAPPING, "status": "inactive"}, expect=201)
    fleet.api.delete(f"/api/v1/mappings/{made['id']}")
    rows = eventually(lambda: [r for r in fleet.api.get(f"/api/v1/audit?subject={made['id']}")["items"]], "audit rows")
    assert [r["op"] for r in rows] in (["create", "delete"], ["delete", "create"])
    assert all(r["actor"] and r["request_id"] for r in rows)
