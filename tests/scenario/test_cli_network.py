"""The command line against a controld that answers badly, late, or not at all: what is tried again, what never is."""
import contextlib
import http.server
import json
import ssl
import subprocess
import threading

import pytest
from cli import portway, run
from portway import ADMIN, Controld, Daemon, eventually, free_port


class Fake:
    """An HTTP server that plays a list of answers: (status, body, headers), "cut" (the connection ends), "late"."""

    def __init__(self, *plays):
        self.plays, self.seen, self.released = list(plays), [], threading.Event()
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path == "/openapi.json":
                    return self.reply(404, {"message": "not here"}, {})
                headers = {**self.headers, "port": self.client_address[1]}
                fake.seen.append((self.command, self.path, headers, body))
                play = fake.plays.pop(0) if len(fake.plays) > 1 else fake.plays[0]
                if play == "late":
                    fake.released.wait(30)
                if play in ("cut", "late"):
                    self.close_connection = True
                    return None
                return self.reply(*play)

            def reply(self, status, body, headers):
                raw = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(raw)), "Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def connections(self):
        return {headers["port"] for _, _, headers, _ in self.seen}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def env(self):
        return {"PORTWAY_URL": self.url, "PORTWAY_TOKEN": "a.b.c"}


GROUP = (201, {"id": "grp_1", "name": "g"}, {})
EMPTY = (200, {"items": [], "next_cursor": None}, {})
BUSY = (503, {"message": "too much to do", "code": "OVERLOADED"}, {"Retry-After": "0"})


def test_a_create_that_was_cut_off_is_made_once():
    with Fake("cut", "cut", GROUP) as fake:
        assert "grp_1" in run("create", "group", "name=g", **fake.env())
        keys = {headers["Idempotency-Key"] for _, _, headers, _ in fake.seen}
        assert len(fake.seen) == 3 and len(keys) == 1 and len({body for *_, body in fake.seen}) == 1
    with Fake(GROUP) as fake:
        run("create", "group", "name=g", **fake.env())
        assert fake.seen[0][2]["Idempotency-Key"] not in keys, "another call, another key"


def test_a_login_that_was_cut_off_is_not_sent_again(tmp_path):
    with Fake("cut") as fake:
        text = run("login", "--email", "a@b.de", stdin="secret word\n", status=5, PORTWAY_URL=fake.url)
        assert len(fake.seen) == 1 and "may have been done" in text and "secret" not in text


def test_nobody_there_is_tried_and_told():
    text = run("list", "node", status=5, PORTWAY_URL=f"http://127.0.0.1:{free_port()}", PORTWAY_TOKEN="a.b.c")
    assert "connect" in text and "may have been done" not in text


@pytest.mark.parametrize("command", [("list", "group"), ("get", "group", "x"), ("delete", "group", "x"),
                                     ("update", "group", "x", "name=y"), ("create", "group", "name=y")])
def test_busy_is_tried_again(command):
    with Fake(BUSY, (502, "<html>", {}), (429, {"message": "slower"}, {"Retry-After": "0"}), EMPTY) as fake:
        assert portway(*command, **fake.env()).returncode in (0, 1) and len(fake.seen) == 4
    with Fake(BUSY) as fake:
        assert "too much to do" in run(*command, "--tries", "2", status=5, **fake.env())
        assert len(fake.seen) == 2


def test_a_long_wait_is_left_to_people():
    with Fake((429, {"message": "wait"}, {"Retry-After": "3600"})) as fake:
        assert run("list", "group", status=5, **fake.env()) and len(fake.seen) == 1


@pytest.mark.parametrize("status,code", [(400, 1), (401, 3), (403, 3), (404, 4), (409, 6), (412, 6), (422, 1), (500, 1)])
def test_refusals_are_final(status, code):
    with Fake((status, {"message": "no", "code": "X"}, {})) as fake:
        assert "no" in run("get", "group", "x", status=code, **fake.env()) and len(fake.seen) == 1


def test_deleted_by_the_try_that_was_cut_off():
    with Fake("cut", (404, {"message": "there is no such group"}, {})) as fake:
        assert "is gone" in run("delete", "group", "x", **fake.env())
    with Fake((404, {"message": "there is no such group"}, {})) as fake:
        assert run("delete", "group", "x", status=4, **fake.env())


def test_late_answers():
    with Fake("late") as fake:
        assert run("list", "group", "--timeout", "1s", "--tries", "2", status=5, **fake.env())
        eventually(lambda: len(fake.seen) == 2, "both tries")  # it may still be at reading the second one


def test_redirects_are_not_followed():
    with Fake(EMPTY) as other, Fake((302, None, {"Location": other.url + "/"})) as fake:
        assert run("list", "group", status=1, **fake.env())
        assert not other.seen, "credentials go where they belong"


@pytest.mark.parametrize("body", ["<html>hello</html>", "", "{}", '{"items": {}}', '{"items": [', "[]", '"x"'])
def test_what_is_no_list(body):
    with Fake((200, body, {})) as fake:
        assert "no list" in run("list", "group", status=1, **fake.env())


def test_a_list_that_goes_round():
    with Fake((200, {"items": [{"id": "a"}], "next_cursor": "a"}, {})) as fake:
        assert "does not go on" in run("list", "group", status=1, **fake.env()) and len(fake.seen) == 2


def test_one_connection_for_many_pages():
    pages = [(200, {"items": [{"id": str(i)}], "next_cursor": str(i)}, {}) for i in range(5)]
    with Fake(*pages, EMPTY) as fake:
        assert run("list", "group", "-o", "name", **fake.env()).split() == list("01234")
        assert len(fake.seen) == 6 and len(fake.connections()) == 1
        assert "cursor=4" in fake.seen[-1][1]


def test_words_of_a_stranger_do_nothing_to_the_terminal():
    with Fake((400, {"message": "\x1b[2J\u202e", "details": {"field": "\x1b", "message": "\x07", "provided_value": "\n"}}, {})) as fake:
        text = run("list", "group", status=1, **fake.env())
        assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text and text.count("\n") == 2


def test_status_of_something_else():
    with Fake((200, {"hello": 1}, {})) as fake:
        assert "is not a controld" in run("status", status=5, **fake.env())
    with Fake((503, {"status": "unhealthy", "checks": []}, {})) as fake:
        assert "unhealthy" in portway("status", PORTWAY_URL=fake.url).stdout and len(fake.seen) == 1
        assert portway("status", PORTWAY_URL=fake.url).returncode == 1


def test_certificates_are_checked(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    controld = Controld(str(tmp_path), {"CONTROLD_HTTP_TLS_CERT": str(cert), "CONTROLD_HTTP_TLS_KEY": str(key)})
    url = f"https://127.0.0.1:{controld.http_port}"
    key.chmod(0o600)
    Daemon.start(controld)
    try:
        def up():
            with contextlib.suppress(OSError):
                return ssl.get_server_certificate(("127.0.0.1", controld.http_port))
        eventually(up, "controld serves", 30)
        env = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
        assert "certificate" in run("status", "--url", url, status=1, **env)
        assert "healthy" in run("status", "--url", url, "--ca", str(cert), **env)
        run("login", "--url", url, "--ca", str(cert), "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **env)
        assert ADMIN["email"] in run("whoami", **env), "the login knows who vouches for its controld"
    finally:
        controld.stop()
