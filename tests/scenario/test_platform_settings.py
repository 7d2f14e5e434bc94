"""Settings of the platform: shown without secrets, changed by administrators of the system, each change with who and when."""
import pytest
from portway import Api

BASE = "/api/admin/settings"


@pytest.fixture(scope="module")
def control():
    import portway  # pylint: disable=import-outside-toplevel
    fleet = portway.Fleet({"EMAIL_FROM": "noreply@example.com", "AUTO_SYNC_INTERVAL": "7200", "PTERODACTYL_API_KEY": "from-the-file",
                           "CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8"})
    try:
        yield fleet.start(relays=0)
    finally:
        fleet.stop()


def data(api):
    return api.get(BASE)["data"]


def test_the_file_is_what_nobody_changed(control):
    shown = data(control.api)
    assert shown["emailFrom"] == "noreply@example.com" and shown["autoSyncInterval"] == 7200 and shown["autoSyncEnabled"] is False
    assert shown["pterodactylApiKey"] == "***" and shown["resendApiKey"] is None and shown["pterodactylUrl"] is None
    assert "from-the-file" not in control.api.last.text


def test_the_printed_update(control):
    wanted = {"pterodactylUrl": "https://panel.example.com", "autoSyncEnabled": True, "autoSyncInterval": 3600}
    control.api.post(BASE, {"pterodactylApiKey": ""}, expect=200)
    answer = control.api.post(BASE, wanted, expect=200)
    assert answer["success"] is True and {k: answer["data"][k] for k in wanted} == wanted
    me = control.api.get("/auth/me")["data"]["id"]
    assert answer["changed"]["pterodactylUrl"]["updatedBy"] == me and answer["changed"]["pterodactylUrl"]["updatedAt"].endswith("Z")
    row = control.api.get("/api/v1/audit?kind=setting&limit=1")["items"][0]
    assert row["actor"] == me and sorted(row["fields"]) == sorted(wanted) and row["object"] == wanted
    # null: the file's again
    answer = control.api.post(BASE, {"autoSyncInterval": None}, expect=200)
    assert answer["data"]["autoSyncInterval"] == 7200 and "autoSyncInterval" not in answer["changed"]


def test_a_secret_is_never_shown(control):
    control.api.post(BASE, {"resendApiKey": "re_secret-one"}, expect=200)
    assert "re_secret-one" not in control.api.last.text and data(control.api)["resendApiKey"] == "***"
    before = control.api.get(BASE)["changed"]["resendApiKey"]
    control.api.post(BASE, {"resendApiKey": "***", "emailFrom": "a@example.com"}, expect=200)  # as it was shown
    assert control.api.get(BASE)["changed"]["resendApiKey"] == before
    control.api.get("/api/v1/audit?kind=setting")
    assert "re_secret-one" not in control.api.last.text and "re_secret-one" not in control.controld.log()
    control.api.post(BASE, {"resendApiKey": ""}, expect=200)
    assert data(control.api)["resendApiKey"] is None


def refused(api, body, field):
    """The key that is kept does not go there."""
    said = api.post(BASE, body, expect=422)
    details = said["details"] if isinstance(said["details"], dict) else said["details"][0]
    assert details["field"] == field and field in said["message"] and "scheme, host and port" in said["message"], said


def test_a_secret_does_not_follow_a_url(control):
    """Who may set a URL would read with it what nobody may read: it would be sent to him."""
    api = control.api
    others = ("http://panel.example.com", "https://panel.example.com:8443", "https://panel.example.org", "https://panel.example.com.org")
    for url, key in (("pterodactylUrl", "pterodactylApiKey"), ("pterodactylUrl", "pterodactylClientApiKey"),
                     ("pterodactylUrl", "cfAccessClientSecret"), ("virtfusionUrl", "cfAccessClientSecret"),
                     ("virtfusionUrl", "virtfusionApiKey"), ("scalarUrl", "scalarApiKey")):
        api.post(BASE, {url: "https://panel.example.com", "pterodactylApiKey": "", key: "kept"}, expect=200)
        for other in others:
            refused(api, {url: other}, key)
            refused(api, {url: other, key: "***"}, key)
        assert data(api)[url] == "https://panel.example.com"
        for same in ("https://PANEL.example.com:443/admin", "https://panel.example.com"):
            api.post(BASE, {url: same}, expect=200)
        api.post(BASE, {url: ""}, expect=200)
        refused(api, {url: others[2]}, key)  # nor by way of no URL
        api.post(BASE, {url: others[2], key: "another"}, expect=200)
        api.post(BASE, {url: others[0], key: ""}, expect=200)
        api.post(BASE, {url: None}, expect=200)


def test_the_files_secret_stays_where_the_file_sends_it(control):
    api = control.api
    api.post(BASE, {"pterodactylUrl": None, "pterodactylApiKey": None}, expect=200)
    refused(api, {"pterodactylUrl": "https://thief.example.com"}, "pterodactylApiKey")
    api.post(BASE, {"pterodactylUrl": "https://thief.example.com", "pterodactylApiKey": "worthless"}, expect=200)
    refused(api, {"pterodactylApiKey": None}, "pterodactylApiKey")
    refused(api, {"pterodactylUrl": "https://thief.example.com/x", "pterodactylApiKey": None}, "pterodactylApiKey")
    api.post(BASE, {"pterodactylUrl": None, "pterodactylApiKey": None}, expect=200)


def test_all_errors_at_once(control):
    before = data(control.api)
    control.api.post(BASE, {"autoSyncInterval": 5, "autoSyncEnabled": "yes", "pterodactylUrl": "ftp://x", "resendApiKey": 7},
                     expect=422)
    said = control.api.last.json()["details"]
    assert {d["field"] for d in said} == {"autoSyncInterval", "autoSyncEnabled", "pterodactylUrl", "resendApiKey"}
    assert control.api.post(BASE, {"pterodactylUrl": "http://10.0.0.1/"}, expect=(403, 422))["code"] == "TARGET_NOT_ALLOWED"
    control.api.post(BASE, {"emailFrom": "a@b\r\nBcc: c@d"}, expect=422)
    control.api.post(BASE, {"nonsense": 1}, expect=422)
    assert data(control.api) == before


def test_repositories(control):
    api, repos = control.api, BASE + "/repos"

    def names():
        return [r["repo"] for r in api.get(repos)["data"]]

    assert names() == []
    assert api.post(repos, {"repo": "owner/repository"}, expect=201)["data"] == {"repo": "owner/repository"}
    api.post(repos, {"repo": "owner/repository"}, expect=409)
    api.post(repos, {"repo": "old/repo"}, expect=201)
    api.put(repos, {"oldRepo": "old/repo", "repo": "new/repo"})
    assert names() == ["new/repo", "owner/repository"]
    api.put(repos, {"oldRepo": "old/repo", "repo": "x/y"}, expect=404)
    api.put(repos, {"oldRepo": "new/repo", "repo": "owner/repository"}, expect=409)
    for wrong in ("owner", "owner/", "/repo", "a/b/c", "a b/c", "a/..", "a" * 41 + "/b"):
        api.post(repos, {"repo": wrong}, expect=422)
    api.delete(repos, body={"repo": "owner/repository"})
    api.delete(repos, expect=404, body={"repo": "owner/repository"})
    assert names() == ["new/repo"]
    ops = [(r["op"], r["subject"]) for r in api.get("/api/v1/audit?kind=repo")["items"]]
    assert ops == [("delete", "owner/repository"), ("update", "new/repo"), ("create", "old/repo"), ("create", "owner/repository")]


def test_others_may_not(control):
    tenant = control.api.post("/api/v1/tenants", {"name": "settings"}, expect=201)
    control.api.post("/api/v1/users", {"email": "o@settings.example", "username": "settings-owner", "password": "a long password",
                                       "role": "owner", "tenant_id": tenant["id"]}, expect=201)
    owner = Api(control.controld.base)
    owner.login("o@settings.example", "a long password")
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/repos"), ("POST", "/repos"), ("PUT", "/repos"), ("DELETE", "/repos")):
        owner.call(method, BASE + path, {} if method != "GET" else None)
        assert owner.last.status_code == 403, (method, path)
    nobody = Api(control.controld.base)
    nobody.get(BASE, expect=401)
