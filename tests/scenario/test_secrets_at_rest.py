"""Every place that takes a secret gets one that is known, and none of them is in the database: not in the files of an SQLite
database while it runs, nor after it; not in a dump of a PostgreSQL database; nor in the log. With another master key all of them
are still of use."""
import base64
import glob
import os
import subprocess

import portway
import pytest
import sites
from hytale import Hytale
from portway import Api, eventually

KEY = "a-key-of-the-backend"
MARK = "marker-of-a-secret-"
# what a private key is, however it is written: a PEM, or the first bytes of an Ed25519 key in DER
PRIVATE = [b"PRIVATE KEY-----", bytes.fromhex("302e020100300506032b657004220420")]


class Marks:
    """Values that are told apart by what they are of."""

    def __init__(self):
        self.all = {}

    def new(self, what, head="", tail=""):
        self.all[what] = f"{MARK}{what}-{os.urandom(8).hex()}"
        return head + self.all[what] + tail

    def keep(self, what, value):
        assert value, what
        self.all[what] = value


@pytest.fixture(scope="module")
def hytale():
    h = Hytale()
    h.interval = 1
    yield h
    h.close()


@pytest.fixture(scope="module")
def fleet(hytale):
    f = portway.Fleet({**hytale.env(), "CONTROLD_HTTP_ROW_RATE_LIMIT": "0", "BACKEND_API_KEY": KEY, "CONTROLD_LOG_LEVEL": "debug"})
    try:
        yield f.start(relays=0)
    finally:
        f.stop()


@pytest.fixture(scope="module")
def marks(fleet, hytale):
    """All of them, put where they belong."""
    m, api = Marks(), fleet.api
    settings(m, api)
    webhooks(m, api)
    jobs(m, api)
    people(m, fleet)
    clients(m, api)
    certificate(m, api)
    device_login(m, fleet, hytale)
    return m


def settings(m, api):
    names = ("pterodactylApiKey", "pterodactylClientApiKey", "resendApiKey", "scalarApiKey", "virtfusionApiKey", "cfAccessClientSecret")
    api.post("/api/admin/settings", {name: m.new(name) for name in names}, expect=200)


def webhooks(m, api):
    made = api.post("/api/webhooks", {"url": m.new("webhook-url", "https://example.com/hook?token="), "events": ["thing.none"],
                                      "secret": m.new("webhook-secret")}, expect=201)
    api.put(f"/api/webhooks/{made['id']}", {"secret": m.new("webhook-secret-changed")})
    api.post("/api/webhooks", {"url": m.new("discord", "https://discord.com/api/webhooks/123456/"), "events": ["thing.none"]}, expect=201)
    shown = api.post("/api/webhooks", {"url": "https://example.com/", "events": ["thing.none"]}, expect=201,
                     headers={"Idempotency-Key": "made-by-us"})
    m.keep("webhook-secret-made", shown["secret"])
    api.post("/api/admin/settings/webhooks", {"name": "ours", "webhookUrl": m.new("admin-discord", "https://discord.com/api/webhooks/9/")},
             expect=201)


def jobs(m, api):
    far = "2099-01-01T00:00:00Z"
    m.waiting = api.post("/api/v1/jobs", {"kind": "check", "args": {"secret": m.new("job-that-waits"), "label": "seen"}, "due_at": far})["id"]
    done = api.post("/api/v1/jobs", {"kind": "check", "args": {"secret": m.new("job-that-ended")}})["id"]
    eventually(lambda: api.get(f"/api/v1/jobs/{done}")["state"] == "completed", "the job")
    shown = api.get(f"/api/v1/jobs/{m.waiting}")
    assert shown["args"] == {"label": "seen", "secret": "***"}
    assert api.get(f"/api/v1/jobs/{done}")["result"]["secret_length"] == len(m.all["job-that-ended"])
    api.post("/api/v1/jobs", {"kind": "check", "args": {"secret": m.new("job-with-a-key")}, "unique_key": "one", "due_at": far})
    refused = api.post("/api/v1/schedules", {"name": "s", "kind": "check", "cron": "@daily", "args": {"secret": m.new("scheduled")}},
                       expect=422)
    assert refused["details"]["field"] == "args" and MARK not in api.last.text
    # a mail that cannot be sent: the service is not there
    api.post("/api/v1/email/queue", {"to": "who@example.com", "template": "reset",
                                     "data": {"resetUrl": m.new("mail", "https://example.com/reset?token=")}}, expect=202)


def people(m, fleet):
    api = fleet.api
    api.post("/api/v1/users", {"email": "marked@example.com", "username": "marked", "password": m.new("password"), "role": "admin"},
             expect=201)
    api.post("/auth/login", {"email": "marked@example.com", "password": m.new("wrong-password")}, expect=401)
    who = Api(fleet.controld.base)
    who.login("marked@example.com", m.all["password"])
    for name in ("token", "refresh_token"):
        m.keep("login-" + name, who.post("/auth/login", {"email": "marked@example.com", "password": m.all["password"]}, expect=200)[name])
    m.keep("api-key", api.post("/api/v1/api-keys", {"name": "k", "role": "viewer"}, expect=201)["key"])
    made = api.post("/api/v1/nodes/join-tokens", {"name": "edge"}, expect=201)["token"]
    m.keep("join-token", made.split(".")[1])  # the rest is an id, and the fingerprint of the CA
    m.keep("settings-key", KEY)


def clients(m, api):
    made = api.post("/api/v1/clients", {"name": "marked"}, expect=201)
    m.keep("client", made["secret_key"])
    api.post("/api/v1/mappings", {"name": "proxy", "protocol": "socks5", "target_client_id": made["id"], "socks_user": "me",
                                  "socks_password": m.new("socks-password")}, expect=201)
    code = api.post("/api/v1/connection-codes", {"target_client_id": made["id"], "target_port": 80}, expect=201)
    m.keep("connection-code", code["code"])
    pair = api.post(f"/api/v1/clients/{made['id']}/tokens", {}, expect=201)
    for name, value in pair.items():
        if name.endswith("token"):
            m.keep("client-" + name, value)
    assert len([what for what in m.all if what.startswith("client-")]) == 2, pair


def certificate(m, api):
    cert = sites.Authority().issue("marked.example.com")
    api.post("/api/v1/certificates", {"chain": cert.chain, "key": cert.key_pem}, expect=201)
    lines = [line for line in cert.key_pem.splitlines() if not line.startswith("-")]
    m.keep("tls-key", lines[0])


def device_login(m, fleet, hytale):
    keyed = Api(fleet.controld.base)
    keyed.session.headers["X-API-Key"] = KEY
    oauth = "/api/v1/hytale/oauth/"
    code = keyed.post(oauth + "device-code", {}, expect=200)["device_code"]
    hytale.decide(code, "agreed")
    pair = eventually(lambda: (said := keyed.post(oauth + "token", {"device_code": code}, expect=(200, 400))).get("access_token") and said,
                      "the end of the flow", seconds=60)
    session = keyed.post(oauth + "game-session/new", {"account_id": pair["account_id"], "profile_uuid": hytale.profiles[0]["uuid"]},
                         expect=200)
    for name, value in (*pair.items(), *session.items()):
        if name.endswith("_token"):
            m.keep("device-" + name, value)
    assert {"device-access_token", "device-refresh_token", "device-session_token", "device-identity_token"} <= set(m.all)


def forms(value):
    """A secret as it is, and what an encoding of it would be: its own bytes, in base64 or in hexadecimal digits."""
    yield value.encode()
    yield value[-24:].encode() if len(value) > 48 else value.encode()
    raw = value.encode()
    yield raw.hex().encode()
    for skip in range(3):  # wherever it begins in something that is encoded as a whole
        yield base64.b64encode(b"\0" * skip + raw)[4:-4]
    for decode in (base64.urlsafe_b64decode, base64.b64decode, bytes.fromhex):
        try:
            plain = decode(value + "==" if decode is base64.urlsafe_b64decode else value)
        except ValueError:
            continue
        if len(plain) >= 16:
            yield plain
            yield plain.hex().encode()


def kept(fleet):
    """Everything that the database is: name, bytes."""
    url = fleet.controld.env.get("CONTROLD_DATABASE_URL", "")
    if url.startswith("postgres"):
        yield "pg_dump", portway.postgres_server().dump(url)
        return
    for path in glob.glob(os.path.join(fleet.controld.env["CONTROLD_DATA_DIR"], "*.db*")):
        with open(path, "rb") as f:
            yield os.path.basename(path), f.read()


def search(fleet, marks):
    found, names = [], []
    for name, data in kept(fleet):
        names.append(name)
        found += [(name, what) for what, value in marks.all.items() if any(form in data for form in forms(value))]
        found += [(name, key) for key in PRIVATE if key in data or key.hex().encode() in data]
        assert MARK.encode() not in data or found, name
    assert names
    return found


def test_the_search_would_find_one(fleet, marks):
    """Names are not secret: what is looked for this way is found."""
    plain = Marks()
    plain.keep("label", "pterodactylClientApiKey")
    assert search(fleet, plain)
    assert any(form in b"x" + base64.b64encode(b"ab" + MARK.encode() + b"cd") for form in forms(MARK))
    assert marks.all


def test_no_secret_is_in_the_database(fleet, marks):
    assert search(fleet, marks) == []
    text = fleet.controld.log()
    assert [what for what, value in marks.all.items() if value in text] == []


def test_nor_in_what_the_api_says_of_them(fleet, marks):
    for path in ("/api/v1/jobs?limit=200", "/api/webhooks", "/api/admin/settings", "/api/admin/settings/webhooks", "/api/v1/audit?limit=200",
                 "/api/v1/clients", "/api/v1/mappings", "/api/v1/certificates", "/api/v1/api-keys", "/api/v1/audit/export"):
        fleet.api.last = fleet.api.session.get(fleet.api.base + path, timeout=20)
        assert fleet.api.last.status_code == 200, path
        assert [what for what, value in marks.all.items() if value in fleet.api.last.text] == [], path


def test_another_master_key_opens_all_of_it(fleet, marks):
    """What is sealed is sealed anew, and jobs still have their arguments."""
    fleet.controld.stop()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CONTROLD_")}
    out = subprocess.run([os.path.join(portway.BIN, "controld"), "db", "rotate-key"], env={**clean, **fleet.controld.env},
                         capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    fleet.controld.start()
    fleet.api.login()
    fleet.api.post(f"/api/v1/jobs/{marks.waiting}/retry", {}, expect=202)
    job = eventually(lambda: (j := fleet.api.get(f"/api/v1/jobs/{marks.waiting}"))["state"] == "completed" and j, "the job")
    assert job["result"]["secret_length"] == len(marks.all["job-that-waits"])
    assert search(fleet, marks) == []
