"""What is secret is sealed in the database, and `controld db rotate-key` seals it with another key, also after an interruption."""
import glob
import os
import subprocess

import pytest
import portway
from portway import eventually

SECRETS = {"pterodactylApiKey": "ptla_a-very-secret-panel-key", "resendApiKey": "re_a-very-secret-mail-key"}
HOOK = "https://example.com/hook?token=a-very-secret-token"


def files(fleet):
    """All bytes that controld keeps."""
    found = {}
    for path in glob.glob(os.path.join(fleet.controld.env["CONTROLD_DATA_DIR"], "*")):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                found[os.path.basename(path)] = f.read()
    return found


def rotate(fleet, expect=0, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CONTROLD_")}
    out = subprocess.run([os.path.join(portway.BIN, "controld"), "db", "rotate-key"], env={**clean, **fleet.controld.env, **env},
                         capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == expect, out.stdout + out.stderr
    return out.stdout + out.stderr


def fill(fleet):
    fleet.api.post("/api/admin/settings", SECRETS, expect=200)
    return fleet.api.post("/api/webhooks", {"url": HOOK, "events": ["*"], "secret": "a-very-secret-signature"}, expect=201)


def still_works(fleet, hook):
    fleet.api.login()
    assert fleet.api.get("/api/admin/settings")["data"]["resendApiKey"] == "***"
    # sealed values are opened for this: it tries to post, and says what became of it
    assert fleet.api.post(f"/api/webhooks/{hook['id']}/test", {}, expect=200)["delivered"] in (True, False)


@pytest.mark.skipif(portway.DATABASE != "sqlite", reason="looks into the files of an SQLite database")
def test_no_secret_is_in_the_files(new_fleet):
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8"})
    hook = fill(fleet)
    key = fleet.api.post("/api/v1/api-keys", {"name": "k", "role": "viewer"}, expect=201)
    shown = fleet.api.post("/api/webhooks", {"url": "https://example.com/", "events": ["*"]}, expect=201,
                           headers={"Idempotency-Key": "one"})["secret"]
    secrets = [*SECRETS.values(), "a-very-secret-token", "a-very-secret-signature", shown, key.get("key") or key.get("api_key")]
    assert all(secrets) and hook["id"]
    fleet.controld.stop()
    kept = files(fleet)
    assert "portway.db" in kept
    for name, data in kept.items():
        for secret in secrets:
            assert secret.encode() not in data, (name, secret)
    for secret in secrets:
        assert secret not in fleet.controld.log()
    # what a program that looks for them would find: names
    assert b"pterodactylApiKey" in kept["portway.db"] + kept.get("portway.db-wal", b"")
    fleet.controld.start()


def test_a_key_file_is_changed_and_an_interruption_is_no_harm(new_fleet):
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8"})
    hook = fill(fleet)
    folder = fleet.controld.env["CONTROLD_DATA_DIR"]
    key, old = os.path.join(folder, "master.key"), os.path.join(folder, "master.key.old")
    rotate(fleet, expect=1)  # one that runs would not know the new one
    assert not os.path.exists(old)
    fleet.controld.stop()
    before = open(key, "rb").read()
    assert "sealed with the new key" in rotate(fleet)
    after = open(key, "rb").read()
    assert before != after and len(after) == 32 and not os.path.exists(old)
    assert os.stat(key).st_mode & 0o077 == 0
    fleet.controld.start()
    still_works(fleet, hook)
    fleet.controld.stop()
    # cut off right after the new key was written: nothing is sealed with it yet, and a start finds both
    with open(old, "wb") as f:
        f.write(after)
    with open(key, "wb") as f:
        f.write(os.urandom(32))
    os.chmod(old, 0o600)
    fleet.controld.start()
    still_works(fleet, hook)
    fleet.controld.stop()
    third = open(key, "rb").read()
    rotate(fleet)
    assert open(key, "rb").read() == third and not os.path.exists(old)
    fleet.controld.start()
    still_works(fleet, hook)


def test_a_key_of_the_settings_is_changed_while_it_runs(new_fleet):
    first, second = "11" * 32, "22" * 32
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_MASTER_KEY": first, "CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8"})
    hook = fill(fleet)
    fleet.controld.stop()
    fleet.controld.env.update(CONTROLD_MASTER_KEY=second, ENCRYPTION_KEY_OLD=first)
    fleet.controld.start()
    still_works(fleet, hook)
    assert "sealed with the new key" in rotate(fleet)
    assert rotate(fleet).startswith("0 values")
    fleet.controld.stop()
    del fleet.controld.env["ENCRYPTION_KEY_OLD"]
    fleet.controld.start()
    still_works(fleet, hook)
    seen = fleet.api.get("/api/v1/audit?kind=master_key")["items"]
    assert [row["op"] for row in seen] == ["rotate"]
    # who has the one before only is refused, and told why
    fleet.controld.stop()
    fleet.controld.env["CONTROLD_MASTER_KEY"] = first
    portway.Daemon.start(fleet.controld)
    eventually(lambda: not fleet.controld.alive(), "the end of one with an old key")
    assert "another master key" in fleet.controld.log()
    fleet.controld.env["CONTROLD_MASTER_KEY"] = second
    fleet.controld.start()


def test_what_is_no_key_is_refused():
    out = subprocess.run([os.path.join(portway.BIN, "controld"), "--check-config", "--set", "master_keys_also=" + "1" * 63],
                         capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode != 0 and "master_keys_also" in out.stderr + out.stdout and "1" * 63 not in out.stderr + out.stdout
