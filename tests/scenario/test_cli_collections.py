"""Every collection that the API describes can be listed and explained by name on the command line, and has the verbs of its routes."""
import json
import re

import pytest
import requests
from cli import run
from portway import ADMIN


@pytest.fixture(scope="module")
def op(fleet, tmp_path_factory):
    home = str(tmp_path_factory.mktemp("home"))
    env = {"XDG_CONFIG_HOME": home, "PORTWAY_PASSWORD": ADMIN["password"]}
    run("login", "--url", fleet.controld.base, "--email", ADMIN["email"], **env)
    return env


def collections(fleet):
    """plural -> methods of "/api/v1/<plural>" and of one of them; what asks for a query of its own is a question, no collection."""
    paths = requests.get(fleet.controld.base + "/openapi.json", timeout=10).json()["paths"]
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


def test_one_of_each(fleet, op):
    for plural, (_, one) in collections(fleet).items():
        items = json.loads(run("list", plural, "-o", "json", "-n", "1", **op))
        items = items if isinstance(items, list) else items.get("items", [])
        if items and "get" in one:
            ident = str(items[0]["id"])
            assert json.loads(run("get", plural, ident, "-o", "json", **op)), (plural, ident)
