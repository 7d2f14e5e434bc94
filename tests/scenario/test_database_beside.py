"""Another program that reads the database's file beside controld, as people and backups do, takes nothing away from it."""
import concurrent.futures
import os
import sqlite3

import portway
import pytest

pytestmark = pytest.mark.skipif(portway.DATABASE == "postgresql", reason="there is no file")


def test_a_reader_that_ends_leaves_the_log(new_fleet):
    fleet = new_fleet(relays=0)
    path = os.path.join(fleet.controld.env["CONTROLD_DATA_DIR"], "portway.db")
    log = os.stat(path + "-wal").st_ino

    def read(_):
        return fleet.api.session.get(fleet.api.base + "/api/v1/audit?limit=200", timeout=60).status_code
    for n in range(5):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:  # controld opens the file as often as it is needed
            assert set(pool.map(read, range(64))) == {200}
        with sqlite3.connect(path) as db:
            db.execute("SELECT count(*) FROM changes").fetchone()
        db.close()
        assert os.path.exists(path + "-shm") and os.stat(path + "-wal").st_ino == log, n
        fleet.api.post("/api/v1/users", {"username": f"beside-{n}", "email": f"beside-{n}@example.com", "password": "correct horse battery"}, expect=201)
    fleet.controld.stop()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM users WHERE username LIKE 'beside-%'").fetchone() == (5,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
