"""The whole audit log as a file, however long it is: with little memory, at the pace of who takes it, and checked without controld
by the recipe that the documentation prints."""
import hashlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import portway
import pytest
from portway import Api, eventually

WRITE_TIMEOUT_S = 20
ROWS, OBJECT = 51_000, 400  # many times what one piece has
DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "security.md")
COLUMNS = ("seq", "tx", "time_ms", "tenant_id", "actor", "request_id", "kind", "op", "subject", "fields", "object", "digest", "chain")


def put(text):
    return f"{len(text.encode())}:{text}\n"


def grow(fleet, rows):
    """As if that much had happened: rows behind the newest one, each with its hash."""
    fleet.controld.stop()
    url = fleet.controld.env.get("CONTROLD_DATABASE_URL", "")
    on_postgres = url.startswith("postgres")
    newest = "SELECT seq, tx, chain FROM changes ORDER BY seq DESC LIMIT 1"
    path = os.path.join(fleet.controld.env["CONTROLD_DATA_DIR"], "portway.db")
    if on_postgres:
        seq, tx, chain = portway.postgres_server().sql(newest, url).split("|")
    else:
        with sqlite3.connect(path) as db:
            seq, tx, chain = db.execute(newest).fetchone()
    made = list(changes(int(seq), int(tx), chain, rows))
    if on_postgres:
        copy = "\n".join("\t".join(str(v) for v in row) for row in made)
        portway.postgres_server().copy(url, f"changes ({', '.join(COLUMNS)})", copy)
    else:
        with sqlite3.connect(path) as db:
            db.executemany(f"INSERT INTO changes ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", made)
        db.close()
    fleet.controld.start()
    fleet.api.login()


def changes(seq, tx, chain, rows):
    for n in range(rows):
        seq, tx, ms = seq + 1, tx + 1, 1_780_000_000_000 + n
        text = json.dumps({"id": f"thing-{n}", "note": "x" * (OBJECT - n % 50)}, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()
        words = ("default", "usr_somebody", f"req-{n}", "thing", "update", f"thing-{n}", "note")
        line = put(chain) + f"{seq} {tx} {ms}\n" + "".join(put(w) for w in (*words, digest))
        chain = hashlib.sha256(line.encode()).hexdigest()
        yield (seq, tx, ms, *words, text, digest, chain)


@pytest.fixture(scope="module")
def fleet():
    f = portway.Fleet({"CONTROLD_HTTP_WRITE_TIMEOUT": f"{WRITE_TIMEOUT_S}s", "CONTROLD_HTTP_ROW_RATE_LIMIT": "0",
                       "ASAN_OPTIONS": "quarantine_size_mb=4"})  # what was freed is not memory that is needed
    try:
        f.start(relays=0)
        grow(f, ROWS)
        yield f
    finally:
        f.stop()


def check(lines, *args):
    """By the program that stands in the documentation: exit status, output."""
    with open(DOCS, encoding="utf-8") as f:
        program = re.search(r"```python\n(.*?)```", f.read(), re.S).group(1)
    done = subprocess.run([sys.executable, "-c", program, *args], input=lines, capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, done.stdout + done.stderr


def export(api, query=""):
    answer = api.session.get(api.base + "/api/v1/audit/export" + query, timeout=240)
    assert answer.status_code == 200, answer.text[:500]
    return answer.text


def test_all_of_it_with_little_memory(fleet):
    export(fleet.api, "?op=nothing")
    before = fleet.controld.peak_kib()
    text = export(fleet.api)
    grown = fleet.controld.peak_kib() - before
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) > ROWS and len(text) > 25e6
    assert [r["seq"] for r in rows] == list(range(rows[0]["seq"], rows[0]["seq"] + len(rows)))
    assert grown < len(text) / 1024 / 4, (grown, len(text))
    status, said = check(text)
    assert status == 0 and rows[-1]["chain"] in said
    assert fleet.api.get("/api/v1/audit/verify", timeout=240)["intact"] is True  # some 25 MB, hashed anew
    # from where an export before ended: the recipe takes the chain before the first line
    half = len(rows) // 2
    rest = export(fleet.api, f"?after={rows[half]['seq']}")
    assert len(rest.splitlines()) == len(rows) - half - 1
    assert check(rest, rows[half]["chain"])[0] == 0 and check(rest, rows[half - 1]["chain"])[0] == 1
    assert len(export(fleet.api, "?kind=thing&subject=thing-5").splitlines()) == 1


def test_what_was_changed_in_the_file_shows(fleet):
    lines = export(fleet.api).splitlines(keepends=True)
    for what, edit in {"actor": lambda s: s.replace("usr_somebody", "usr_nobody00"), "object": lambda s: s.replace("xxx", "xyx", 1),
                       "time": lambda s: re.sub(r'"ms":(\d+)', '"ms":1', s)}.items():
        at = len(lines) - 100
        status, said = check("".join([*lines[:at], edit(lines[at]), *lines[at + 1:]]))
        assert status == 1 and "row" in said, what
    assert check("".join([*lines[:500], *lines[501:]]))[0] == 1
    # a person who was erased: the object goes, its digest stays
    assert check("".join([*lines[:-1], re.sub(r'"object":\{.*\},"digest"', '"object":null,"digest"', lines[-1])]))[0] == 0


def slow_reader(fleet):
    """A client that asked and takes nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", fleet.controld.http_port))
    token = fleet.api.session.headers["Authorization"]
    sock.sendall(f"GET /api/v1/audit/export HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
    return sock


def test_who_takes_nothing_holds_nothing_up(fleet):
    before = fleet.controld.rss_kib()
    socks = [slow_reader(fleet) for _ in range(8)]
    try:
        begin = time.monotonic()
        text = export(fleet.api, "?after=" + str(ROWS - 2000))  # others are served meanwhile
        assert text and time.monotonic() - begin < 60
        assert fleet.controld.rss_kib() - before < 8 * 8 * 1024
        eventually(lambda: long_answers(fleet)[0] == 0, "nobody is waited for any more", WRITE_TIMEOUT_S + 60, 0.5)
        for sock in socks:  # and it is cut off, in the middle
            sock.settimeout(60)
            data = b"".join(iter(lambda s=sock: receive(s), b""))
            assert b"200 OK" in data[:100] and b"\r\n0\r\n\r\n" not in data[-16:]
    finally:
        for sock in socks:
            sock.close()


def long_answers(fleet):
    """How many are under way, how many were refused."""
    text = fleet.api.get("/metrics")
    under_way = re.search(r"^http_long_answers (\d+)", text, re.M)
    refused = re.search(r'^http_requests_refused_total\{reason="long_answers"\} (\d+)', text, re.M)
    return int(under_way.group(1)), int(refused.group(1)) if refused else 0


def test_more_at_once_than_there_may_be(fleet):
    """The seventeenth is refused at once, and told why and when to come again; it is counted; it comes in when another one is over."""
    eventually(lambda: long_answers(fleet)[0] == 0, "those of before are over", 60)
    before = long_answers(fleet)[1]
    socks = [slow_reader(fleet) for _ in range(16)]
    try:
        eventually(lambda: long_answers(fleet)[0] == 16, "all of them are under way")
        said = fleet.api.get("/api/v1/audit/export", expect=503)
        assert said["code"] == "OVERLOADED" and "16 long answers are under way" in said["message"], said
        assert 0 < int(fleet.api.last.headers["Retry-After"]) <= 60
        assert long_answers(fleet) == (16, before + 1)
        fleet.api.get("/api/v1/audit?limit=1")  # others are served
        socks.pop().close()
        eventually(lambda: long_answers(fleet)[0] <= 15, "there is room")
        assert check(export(fleet.api))[0] == 0
    finally:
        for sock in socks:
            sock.close()
    eventually(lambda: long_answers(fleet)[0] == 0, "nothing is left of them", 60)


def receive(sock):
    try:
        return sock.recv(1 << 20)
    except ConnectionResetError:
        return b""


def test_a_controld_that_ends_meanwhile(fleet):
    """Half an answer is known to be half: there is no end to it."""
    ends, api = [], Api(fleet.controld.base)
    api.login()

    def take():
        with api.session.get(api.base + "/api/v1/audit/export", stream=True, timeout=60) as answer:
            try:
                for _ in answer.iter_content(65536):
                    ends.append("piece")
                    time.sleep(0.05)
                ends.append("whole")
            except Exception:  # pylint: disable=broad-exception-caught
                ends.append("broken")

    thread = threading.Thread(target=take)
    thread.start()
    eventually(lambda: len(ends) > 3, "the first pieces", 60)
    fleet.controld.stop()
    thread.join(60)
    assert not thread.is_alive() and ends[-1] == "broken"
    fleet.controld.start()
    fleet.api.login()
    assert check(export(fleet.api))[0] == 0
