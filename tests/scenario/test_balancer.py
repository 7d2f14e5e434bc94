"""Pools, backends and routes: what is written over the API is at the relays, and they say so."""
import pytest
from portway import Fleet, eventually, free_port


@pytest.fixture
def fleet():
    f = Fleet()
    try:
        yield f.start(1, {"RELAYD_HTTP_LISTEN": f"127.0.0.1:{free_port()}"})
    finally:
        f.stop()


def test_a_route_is_at_the_relays_before_it_is_answered(fleet):
    api = fleet.api
    pool = api.post("/api/pools", {"name": "web", "algorithm": "weighted_round_robin"}, expect=201)
    assert pool["status"] == "active", pool
    backend = api.post("/api/backends", {"address": "127.0.0.1:9", "pool": "web"}, expect=201)
    assert api.get("/api/pools/web")["backends"][0]["id"] == backend["id"]
    route = api.post("/api/routes", {"host": "web.example", "path_prefix": "/v1", "pool": "web"}, expect=201)
    assert (route["status"], route["error"]) == ("active", None), route
    refused = api.call("DELETE", "/api/pools/web", expect=409)
    assert route["id"] in refused["message"]
    api.delete(f"/api/routes/{route['id']}")
    api.delete("/api/pools/web")
    assert api.get("/api/backends")["backends"] == []
    eventually(lambda: fleet.api.get("/api/pools")["pools"] == [])
