"""max_requests_per_month of a tenant holds at the relays: what is beyond is refused with the reason, counted, and served again when there is more."""
import time

import pytest
import requests
from portway import Api, Fleet, eventually, free_port
from test_balancer_traffic import Web, ask

LIMIT = 400


@pytest.fixture(scope="module")
def fleet():
    f = Fleet()
    f.http = free_port()
    try:
        f.start(relay_env={"RELAYD_HTTP_LISTEN": f"127.0.0.1:{f.http}", "RELAYD_REPORT_INTERVAL": "300ms"})
        yield f
    finally:
        f.stop()


@pytest.fixture(scope="module")
def web():
    made = Web("one")
    yield made
    made.close()


def tenant_of(fleet, web, name, **settings):
    made = fleet.api.post("/api/tenants", {"name": name, "dial_allow": ["127.0.0.0/8"], "admin_email": f"o@{name}.example",
                                           "settings": settings}, expect=201)
    api = Api(fleet.controld.base)
    api.login(f"o@{name}.example", made["admin"]["password"])
    api.post("/api/pools", {"name": "web", "health_check": {"enabled": False}}, expect=201)
    api.post("/api/backends", {"address": web.address, "pool": "web"}, expect=201)
    route = api.post("/api/routes", {"host": f"{name}.example", "pool": "web"}, expect=201)
    return made["id"], api, route["id"]


def statuses(fleet, host, n):
    with requests.Session() as session:
        return [ask(fleet, host, session=session).status_code for _ in range(n)]


def served(seen):
    assert set(seen) <= {200, 429}, set(seen)
    return seen.count(200)


def all_of_it(fleet, host, wanted):
    """Asks until so many were served: what a relay may spend comes in slices, and meanwhile it refuses."""
    done, end = 0, time.monotonic() + 180
    while done < wanted and time.monotonic() < end:
        done += served(statuses(fleet, host, 20))
    return done


def test_used_up_refused_and_more(fleet, web):
    metered, api, route = tenant_of(fleet, web, "metered", max_requests_per_month=LIMIT)
    tenant_of(fleet, web, "free")
    assert all_of_it(fleet, "metered.example", LIMIT) == LIMIT, "all of it can be had"
    assert set(statuses(fleet, "metered.example", 50)) == {429}, "and no more"
    said = eventually(lambda: next((a.text for a in [ask(fleet, "metered.example")] if "used up" in a.text), None), "it says why")
    assert said.startswith("429 Too Many Requests: the tenant's requests of this month are used up"), said
    assert set(statuses(fleet, "free.example", 50)) == {200}, "others have no limit"
    why = eventually(lambda: (shown := api.get(f"/api/routes/{route}"))["status"] == "error" and shown["error"], "the route says why")
    assert "requests of this month are used up until" in str(why), why
    usage = eventually(lambda: (u := api.get(f"/api/tenants/{metered}/usage"))["requests_per_month"] >= LIMIT and u, "it is counted")
    assert usage["requests_per_month"] == LIMIT and usage["limits"]["max_requests_per_month"] == LIMIT, usage
    refused = fleet.relay.metrics()["relayd_http_no_quota_total"]
    assert refused > 0

    fleet.api.put(f"/api/tenants/{metered}", {"settings": {"max_requests_per_month": LIMIT + 200}})
    eventually(lambda: ask(fleet, "metered.example").status_code == 200, "there is more", 30)
    eventually(lambda: api.get(f"/api/routes/{route}")["status"] == "active", "the route knows")
    assert all_of_it(fleet, "metered.example", 199) == 199
    assert set(statuses(fleet, "metered.example", 50)) == {429}
    fleet.api.put(f"/api/tenants/{metered}", {"settings": {"max_requests_per_month": 0}})
    eventually(lambda: ask(fleet, "metered.example").status_code == 200, "without a limit")
    assert set(statuses(fleet, "metered.example", 300)) == {200}
