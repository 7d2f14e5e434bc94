"""Logins of the command line: the password is never seen, the tokens are kept safe and renew themselves, and go nowhere else."""
import json
import os
import re
import signal
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from cli import PROGRAM, Terminal, environment, portway, run
from portway import ADMIN, eventually, free_port


@pytest.fixture
def home(tmp_path, fleet):
    """Environment of a person who has not logged in yet."""
    return {"XDG_CONFIG_HOME": str(tmp_path), "PORTWAY_URL": fleet.controld.base}


@pytest.fixture
def logged_in(home):
    run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **home)
    return home


def profile(home, name="default"):
    path = os.path.join(home["XDG_CONFIG_HOME"], "portway", name + ".json")
    with open(path) as f:
        return path, json.load(f)


def change(home, **members):
    path, kept = profile(home)
    with open(path, "w") as f:
        json.dump({**kept, **members}, f)


def test_password_from_standard_input_is_kept_nowhere(home):
    out = run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **home)
    assert ADMIN["email"] in out
    path, kept = profile(home)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert kept["url"] == home["PORTWAY_URL"] and kept["access_token"] and ADMIN["password"] not in json.dumps(kept)
    who = run("whoami", **home)
    assert ADMIN["email"] in who and "owner" in who and "profile default" in who
    assert json.loads(run("whoami", "-o", "json", **home))["user"]["email"] == ADMIN["email"]


def test_login_without_url_goes_where_it_was_made(logged_in):
    del logged_in["PORTWAY_URL"]
    assert ADMIN["email"] in run("whoami", **logged_in)


def test_password_on_a_terminal_is_not_shown(home):
    with Terminal("login", **home) as t:
        t.expect("Email: ")
        t.type(ADMIN["email"] + "\n")
        t.expect("Password: ")
        t.type_secret(ADMIN["password"] + "\n")
        t.expect("Logged in at .* as " + ADMIN["email"])
        assert t.wait() == 0 and ADMIN["password"] not in t.text
        assert t.settings() == t.before
    with Terminal("login", **home) as t:  # who has logged in before need not be typed again
        t.expect(r"Email \[" + ADMIN["email"] + r"\]: ")
        t.type("\n")
        t.expect("Password: ")
        t.type_secret("no idea\n")
        t.expect("password is wrong")
        assert t.wait() == 3


def test_interrupt_at_the_password_leaves_the_terminal_as_it_was(home):
    with Terminal("login", "--email", "a@b.de", **home) as t:
        t.expect("Password: ")
        t.type_secret("half\x03")
        assert t.wait() == -signal.SIGINT
        assert t.settings() == t.before


def test_wrong_password_is_final(home):
    text = run("login", "--email", ADMIN["email"], status=3, stdin="not this one\n", **home)
    assert "wrong" in text and "not this one" not in text
    assert run("whoami", status=3, **home)
    assert "--email" in run("login", status=2, stdin="x\n", **home)
    assert "nothing was entered" in run("login", "--email", "a@b.de", status=2, **home)


def test_logout_ends_the_session(logged_in):
    token = profile(logged_in)[1]["access_token"]
    assert run("whoami", **{**logged_in, "PORTWAY_TOKEN": token, "XDG_CONFIG_HOME": "/nonexistent"})
    run("logout", **logged_in)
    assert not os.path.exists(os.path.join(logged_in["XDG_CONFIG_HOME"], "portway", "default.json"))
    eventually(lambda: portway("whoami", **{**logged_in, "PORTWAY_TOKEN": token}).returncode == 3, "the token is worth nothing")
    assert "no login" in run("logout", status=3, **logged_in)


def test_logout_without_controld_forgets_all_the_same(logged_in):
    change(logged_in, url=f"http://127.0.0.1:{free_port()}")
    del logged_in["PORTWAY_URL"]
    assert "forgotten" in run("logout", "--tries", "1", status=5, **logged_in)
    assert run("logout", status=3, **logged_in)


def test_access_token_renews_itself(logged_in):
    before = profile(logged_in)[1]
    change(logged_in, expires_ms=0)
    run("whoami", **logged_in)
    after = profile(logged_in)[1]
    assert after["access_token"] != before["access_token"] and after["refresh_token"] != before["refresh_token"]
    assert after["expires_ms"] > before["expires_ms"] - 60000
    change(logged_in, access_token="worth.nothing.now")  # refused, although its time has not come
    run("whoami", **logged_in)
    assert profile(logged_in)[1]["access_token"].count(".") == 2 and "nothing" not in profile(logged_in)[1]["access_token"]


def refreshes(fleet):
    text = requests.get(fleet.controld.base + "/metrics", timeout=60).text
    return int(re.search(r"^identity_refreshes_total (\d+)", text, re.MULTILINE).group(1))


def test_many_commands_renew_at_once_and_one_does_it(logged_in, fleet):
    for _ in range(3):
        before = refreshes(fleet)
        change(logged_in, expires_ms=0)
        with ThreadPoolExecutor(8) as pool:
            assert all(r.returncode == 0 for r in pool.map(lambda _: portway("whoami", **logged_in), range(8)))
        assert refreshes(fleet) == before + 1, "the others take what the first one got"


def test_ended_session_says_log_in_again(logged_in):
    change(logged_in, access_token="x.y.z", refresh_token="rubbish")
    assert "portway login" in run("whoami", status=3, **logged_in)


def test_login_is_not_shown_to_another_address(logged_in, new_fleet):
    other = new_fleet(relays=0)
    assert "401" not in run("status", "--url", other.controld.base, **logged_in)
    assert run("whoami", "--url", other.controld.base, status=3, **logged_in)
    assert ADMIN["email"] in run("whoami", **logged_in)


def test_profiles_are_apart(logged_in):
    assert run("whoami", "--profile", "other", status=3, **logged_in)
    run("login", "--profile", "other", "--email", ADMIN["email"], **{**logged_in, "PORTWAY_PASSWORD": ADMIN["password"]})
    run("logout", "--profile", "other", **logged_in)
    assert ADMIN["email"] in run("whoami", **logged_in)
    assert "profile" in run("whoami", "--profile", "../x", status=2, **logged_in)


def test_file_that_others_can_read_is_refused(logged_in):
    path, _ = profile(logged_in)
    os.chmod(path, 0o644)
    assert "chmod 600" in run("whoami", status=3, **logged_in)


def test_token_and_key_of_the_environment(home, fleet):
    token = fleet.api.session.headers["Authorization"].split()[1]
    assert "PORTWAY_TOKEN" in run("whoami", **home, PORTWAY_TOKEN=token)
    key = fleet.api.post("/api/v1/api-keys", {"name": "cli", "role": "viewer"})["key"]
    assert "viewer" in run("whoami", **home, PORTWAY_API_KEY=key)
    assert run("whoami", **home, PORTWAY_API_KEY="pk_rubbish", status=3)
    assert run("whoami", **home, PORTWAY_TOKEN="a\r\nX-Evil: 1", status=3)


def test_login_and_logout_are_about_the_kept_login(logged_in, home):
    text = portway("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **{**home, "PORTWAY_TOKEN": "x.y.z"})
    assert text.returncode == 0 and "PORTWAY_TOKEN is set" in text.stderr
    run("logout", **{**logged_in, "PORTWAY_TOKEN": "x.y.z"})
    assert run("whoami", status=3, **logged_in)


def test_proxies_are_for_others(logged_in):
    assert run("whoami", **{**logged_in, "http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"})


def test_password_is_in_no_list_of_processes(home):
    child = subprocess.Popen([PROGRAM, "login", "--email", ADMIN["email"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=environment(home))
    with open(f"/proc/{child.pid}/cmdline", "rb") as f:
        assert ADMIN["password"].encode() not in f.read()
    out, err = child.communicate((ADMIN["password"] + "\n").encode(), 60)
    assert child.returncode == 0 and ADMIN["password"].encode() not in out + err
