"""An installation moves from SQLite to PostgreSQL and back: 10,000 mappings with their history, and nothing is different."""
import os
import sqlite3
import subprocess

from portway import BIN, TcpServer, connect, echo, eventually, postgres_server

MAPPINGS = 10000
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) "


def controld(*args, folder, expect=0, **env):
    out = subprocess.run([os.path.join(BIN, "controld"), *args], capture_output=True, text=True, timeout=300, check=False,
                         env={**os.environ, "CONTROLD_DATA_DIR": folder, **env})
    assert out.returncode == expect, out.stdout + out.stderr
    return out.stdout + out.stderr


def columns(db, table, **other):
    """The columns of a table as a SELECT that copies a row, with some of them replaced."""
    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    return ", ".join(names), ", ".join(other.get(n, f"r.{n}") for n in names)


def multiply(db, table, where, **other):
    names, values = columns(db, table, **other)
    db.execute(f"{NUMBERS} INSERT INTO {table} ({names}) SELECT {values} FROM n, {table} r WHERE {where}", (MAPPINGS - 1,))


def grow(folder, mapping):
    """One mapping that was made over the API becomes 10,000, each with a port, a total, changes and samples."""
    own = f"r.mapping_id = '{mapping}'"
    number = "printf('map_%020d', n.i)"
    with sqlite3.connect(os.path.join(folder, "portway.db")) as db:
        multiply(db, "mappings", f"r.id = '{mapping}'", id=number, source_port="40000 + n.i % 20000", name="'Überlingen ' || n.i",
                 group_id="'grp_' || n.i / 20000")
        multiply(db, "ports", own, mapping_id=number, port="40000 + n.i", group_id="'grp_' || n.i / 20000")
        multiply(db, "search_entries", f"r.id = '{mapping}'", id=number, n="100 + n.i", words="r.words || 'copied' || n.i || ' '")
        multiply(db, "placements", own, mapping_id=number)
        multiply(db, "traffic", f"r.scope = 'mapping' AND r.id = '{mapping}'", id=number, bytes_in="n.i * 1000000007")
        last = db.execute("SELECT max(seq) FROM changes").fetchone()[0]
        multiply(db, "changes", f"r.seq = {last}", seq=f"{last} + n.i", tx=f"{last} + n.i", subject=number)
    with sqlite3.connect(os.path.join(folder, "samples.db")) as db:
        db.execute(NUMBERS + "INSERT INTO sample_subjects SELECT 100000 + i, 'ten_x', 'mapping', printf('map_%020d', i) FROM n",
                   (MAPPINGS,))
        db.execute(NUMBERS + "INSERT INTO samples SELECT 100000 + i / 3, 60000, i * 60000, i, i, 1, 1, 1, 0, 0, 3 FROM n",
                   (3 * MAPPINGS,))


def content(folder, main="portway.db"):
    """Every row of every table, apart from the log's id and what an index is made of."""
    rows = {}
    for name in (main, "samples.db"):
        with sqlite3.connect(os.path.join(folder, name)) as db:
            for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'search_fts%'").fetchall():
                rows[name == main, table] = sorted(map(repr, db.execute(f"SELECT * FROM {table}").fetchall()))
    log_id = [r for r in rows[True, "meta"] if "log_id" in r]
    rows[True, "meta"] = [r for r in rows[True, "meta"] if "log_id" not in r]
    return rows, log_id


def test_there_and_back(new_fleet, tmp_path):
    fleet = new_fleet(controld_env={"CONTROLD_DATABASE_URL": "", "CONTROLD_LOG_LEVEL": "warn"})
    folder = fleet.controld.env["CONTROLD_DATA_DIR"]
    url = postgres_server().database()
    with TcpServer(echo) as server:
        first = fleet.mapping(server.port)
        with connect(first["source_port"]) as s:
            s.sendall(b"before")
            assert s.recv(6) == b"before"
        fleet.wait_stats(first["id"], connections_total=1, connections_active=0, bytes_received=6)
        assert "is running on it" in controld("db", "copy", "-", url, folder=folder, expect=1)
        fleet.controld.stop()
        grow(folder, first["id"])
        before, log_before = content(folder)
        assert len(before[True, "mappings"]) == MAPPINGS and len(before[False, "samples"]) >= 3 * MAPPINGS

        said = controld("db", "copy", "-", url, folder=folder)
        assert "mappings" in said and f"{MAPPINGS} rows" in said
        assert "not empty" in controld("db", "copy", "-", url, folder=folder, expect=1)
        back = str(tmp_path / "back")
        os.mkdir(back, 0o700)
        controld("db", "copy", url, f"sqlite:{back}/portway.db", folder=folder)
        after, log_after = content(back)
        assert before.keys() == after.keys()
        for table, rows in before.items():
            assert rows == after[table], f"{table} is another"
        with sqlite3.connect(f"{back}/portway.db") as db:  # the index was made anew, of all that came
            db.execute("INSERT INTO search_fts (search_fts) VALUES ('integrity-check')")
            assert db.execute("SELECT count(*) FROM search_fts WHERE search_fts MATCH '\"copied\" *'").fetchone()[0] == MAPPINGS - 1
        assert log_before != log_after, "a copy is a history of its own"

        # and the copy serves: the same relay, the same mapping, its counters go on
        fleet.controld.env["CONTROLD_DATABASE_URL"] = url
        fleet.controld.start()
        fleet.api = fleet.controld.api()
        fleet.wait_online()
        assert fleet.get(first["id"])["source_port"] == first["source_port"]

        def echoes():
            with connect(first["source_port"]) as s:
                s.sendall(b"after!")
                return s.recv(6) == b"after!"
        eventually(echoes, "serves from the copy")
        assert [f["id"] for f in fleet.api.get("/api/v1/search?q=copied777")["items"]][0] == f"map_{777:020d}"
        fleet.wait_stats(first["id"], bytes_received=12, connections_total=2)
        assert "is running on it" in controld("db", "copy", "--replace", f"sqlite:{back}/portway.db", url, folder=folder, expect=1)
