"""Every collection that the API describes can be listed and explained by name on the command line, and has the verbs of its routes."""
import json
import re
import subprocess

import pytest
import requests
from cli import run
from portway import ADMIN, eventually

# What one of each is made from, and what is changed then. A collection that can be made and is not here fails the test.
MADE = {
    "users": ({"email": "made@example.com", "password": "correct horse battery"}, "first_name=Other"),
    "tenants": ({"name": "made"}, "name=other"),
    "api-keys": ({"name": "made", "role": "viewer"}, None),
    "clients": ({"name": "made"}, "name=other"),
    "mappings": ({"protocol": "tcp", "target_host": "127.0.0.1", "target_port": 1}, "name=other"),
    "certificates": ({"name": "made", "chain": "CHAIN", "key": "KEY"}, "name=other"),
    "connection-codes": ({"target_client_id": "CLIENT", "target_port": 22}, None),
    "groups": ({"name": "made"}, "name=other"),
    "jobs": ({"kind": "check", "args": {"steps": 1}}, None),
    "schedules": ({"name": "made", "kind": "check", "cron": "30 2 * * *"}, "paused=true"),
}


@pytest.fixture(scope="module")
def op(fleet, tmp_path_factory):
    home = str(tmp_path_factory.mktemp("home"))
    env = {"XDG_CONFIG_HOME": home, "PORTWAY_PASSWORD": ADMIN["password"]}
    run("login", "--url", fleet.controld.base, "--email", ADMIN["email"], **env)
    return env


def collections(fleet):
    """plural -> methods of "/api/v1/<plural>" and of one of them; what asks for a query of its own is a question, no collection."""
    paths = requests.get(fleet.controld.base + "/openapi.json", timeout=60).json()["paths"]
    out = {}
    for path, methods in paths.items():
        plural = re.fullmatch(r"/api/v1/([a-z-]+s)", path)
        listed = methods.get("get", {})
        if plural and listed and "event-stream" not in str(listed["responses"]) and not any(p.get("required") for p in listed["parameters"]):
            one = next((m for p, m in paths.items() if re.fullmatch(re.escape(path) + r"/\{[^}]+\}", p)), {})
            out[plural[1]] = (set(methods), set(one))
    return out


def test_each_has_its_verbs(fleet, op):
    found = collections(fleet)
    assert {"mappings", "clients", "users", "tenants", "nodes", "groups", "api-keys"} <= set(found), found
    for plural, (many, _) in found.items():
        assert isinstance(json.loads(run("list", plural, "-o", "json", **op)), (list, dict)), plural
        run("list", plural, **op)
        run("list", plural, "-o", "yaml", **op)
        if "post" in many:
            assert run("explain", plural, **op).strip(), plural


def test_tables_show_what_there_is(fleet, op):
    """A collection that the program does not know by itself has id, name, status and age, whatever it is of."""
    for plural in collections(fleet):
        assert run("list", plural, **op).splitlines()[0].split() != ["ID", "NAME", "STATUS", "AGE"], plural


def test_one_of_each(fleet, op):
    for plural, (_, one) in collections(fleet).items():
        items = json.loads(run("list", plural, "-o", "json", "-n", "1", **op))
        items = items if isinstance(items, list) else items.get("items", [])
        if items and "get" in one:
            ident = str(items[0]["id"])
            assert json.loads(run("get", plural, ident, "-o", "json", **op)), (plural, ident)


def self_signed(folder):
    """Certificate and key as text."""
    files = [folder / "made.pem", folder / "made.key"]
    subprocess.run(["openssl", "req", "-new", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=made",
                    "-addext", "subjectAltName=DNS:made.example", "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return [file.read_text() for file in files]


def test_what_is_shown_once_is_shown(fleet, op, tmp_path):
    client = fleet.api.post("/api/v1/clients", {"name": "of a code"}, expect=201)["id"]
    out = run("create", "connection-code", f"target_client_id={client}", "target_port=22", **op)
    assert f"client {client} 127.0.0.1:22" in out and re.search(r"^code, shown this once:\n[0-9A-Z]{4}-", out, re.MULTILINE), out
    out = run("create", "webhook", "url=https://hook.example.invalid/x", "events=mapping.*", **op)
    assert re.search(r"^secret, shown this once:\n\S{16,}$", out, re.MULTILINE), out
    run("delete", "webhook", *run("list", "webhook", "-o", "name", **op).split(), **op)
    chain, key = self_signed(tmp_path)
    out = run("create", "certificate", "--file", "-", stdin=json.dumps({"chain": chain, "key": key}), **op)
    assert "made.example" in out and "valid" in out, out
    run("delete", "certificate", *run("list", "certificate", "-o", "name", **op).split(), **op)


def test_verbs_of_each(fleet, op, tmp_path):
    """create, get, update, delete: each where the API has it."""
    chain, key = self_signed(tmp_path)
    found = collections(fleet)
    makeable = {plural for plural, (many, _) in found.items() if "post" in many}
    assert makeable <= set(MADE), f"say in MADE how one of these is made: {makeable - set(MADE)}"
    client = fleet.api.post("/api/v1/clients", {"name": "of codes"}, expect=201)["id"]
    for plural in sorted(makeable):
        body, change = MADE[plural]
        text = json.dumps(body).replace('"CLIENT"', str(client)).replace('"CHAIN"', json.dumps(chain)).replace('"KEY"', json.dumps(key))
        made = json.loads(run("create", plural, "--file", "-", "--json", stdin=text, **op))
        ident, one = str(made["id"]), found[plural][1]
        if "get" in one:
            shown = json.loads(run("get", plural, ident, "--json", **op))
            assert str(shown["id"]) == ident, plural
        assert ("put" in one) == (change is not None), plural
        if change:
            field, value = change.split("=")
            assert str(json.loads(run("update", plural, ident, change, "--json", **op))[field]).lower() == value.lower(), plural
        if plural == "jobs":
            run("job", "wait", ident, **op)
        if "delete" in one:
            run("delete", plural, ident, **op)
        if {"get", "delete"} <= one:
            eventually(lambda: run("get", plural, ident, status=4, **op), f"one of {plural} is gone")
