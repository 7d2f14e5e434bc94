"""`portway webhook`: made, tested and looked at from the command line."""
import json

import pytest
import portway
from cli import run
from portway import ADMIN, eventually
from webhooks import Receiver


@pytest.fixture(scope="module")
def control():
    f = portway.Fleet({"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8"})
    try:
        yield f.start(relays=0)
    finally:
        f.stop()


@pytest.fixture(scope="module")
def op(control, tmp_path_factory):
    env = {"XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("xdg")), "PORTWAY_URL": control.controld.base}
    run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **env)
    return env


def test_a_webhook_from_the_command_line(op, control):
    receiver = Receiver()
    made = json.loads(run("create", "webhook", f"url={receiver.url}?token=hidden", 'events:=["client.*"]', "name=mine", "--json", **op))
    assert made["secret"].startswith("whs_")
    listed = run("webhook", "ls", **op)
    assert "mine" in listed and "client.*" in listed and "hidden" not in listed and "?***" in listed
    assert "delivered" in run("webhook", "test", made["id"], **op)
    control.api.post("/api/v1/clients", {"name": "told"}, expect=201)
    eventually(lambda: receiver.taken("client.created"), "the delivery")
    eventually(lambda: "client.created" in run("webhook", "log", made["id"], **op), "its line")
    eventually(lambda: [r["state"] for r in json.loads(run("webhook", "log", made["id"], "--json", **op))] == ["delivered"] * 2, "both delivered")
    assert run("webhook", "log", made["id"], "-n", "1", "-o", "name", **op).count("dlv_") == 1
    assert "last_status" in run("webhook", "show", made["id"], **op)
    receiver.answers = [(500, {})]
    assert "500" in run("webhook", "test", made["id"], status=1, **op)
    run("update", "webhook", made["id"], "enabled=false", **op)
    assert "disabled" in run("list", "webhook", **op)
    run("delete", "webhook", made["id"], **op)
    run("webhook", "show", made["id"], status=4, **op)
    run("webhook", "sing", made["id"], status=2, **op)
    run("webhook", "test", status=2, **op)
    receiver.close()
