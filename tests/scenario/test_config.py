"""Settings that an administrator changes while it runs: checked, versioned, in force at once, kept over a restart."""
import requests


def test_in_force_at_once_and_after_a_restart(new_fleet):
    fleet = new_fleet(relays=0)
    url = "/api/v1/config"
    before = fleet.api.get(url)
    assert before["settings"]["clients.max"] == 0 and before["settings"]["anonymous.enabled"] is False and before["changed"] == []
    come = fleet.controld.base + "/api/v1/anonymous/clients"
    assert requests.post(come, json={}, timeout=60).status_code == 403
    changed = fleet.api.put(url, {"settings": {"clients.max": 1, "anonymous.enabled": True, "anonymous.lifetime": "90s"}})
    assert changed["version"] == before["version"] + 1 and changed["settings"]["anonymous.lifetime"] == "90s"
    assert changed["changed"] == ["anonymous.enabled", "anonymous.lifetime", "clients.max"]
    assert requests.post(come, json={}, timeout=60).status_code == 201
    fleet.api.post("/api/v1/clients", {}, expect=201)
    assert "1 clients" in fleet.api.post("/api/v1/clients", {}, expect=409)["message"]

    fleet.controld.stop()
    fleet.controld.start()
    assert fleet.api.get(url)["settings"] == changed["settings"]
    fleet.api.post("/api/v1/clients", {}, expect=409)
    back = fleet.api.put(url, {"settings": {"clients.max": None}})
    assert back["settings"]["clients.max"] == 0 and "clients.max" not in back["changed"]
    fleet.api.post("/api/v1/clients", {}, expect=201)
    fields = [c["fields"] for c in fleet.api.get("/api/v1/audit?kind=config")["items"]]
    assert ["clients.max"] in fields and len(fields) == 2


def test_what_is_refused(fleet):
    url = "/api/v1/config"
    for settings in ({"clients.max": -1}, {"clients.max": "many"}, {"anonymous.enabled": 1}, {"anonymous.lifetime": "1ms"},
                     {"tunnels.create_wait": "1h"}, {"data_dir": "/tmp"}, {"anonymous.mappings_max": 0}):
        answer = fleet.api.put(url, {"settings": settings}, expect=422)
        assert next(iter(settings)) in answer["message"]
    two = fleet.api.put(url, {"settings": {"clients.max": -1, "anonymous.mappings_max": 0}}, expect=422)
    assert len(two["details"]) == 2
    fleet.api.put(url, {"settings": {"clients.max": 5}}, expect=412, headers={"If-Match": '"v99"'})
    assert fleet.api.get(url)["changed"] == []
