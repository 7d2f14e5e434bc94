"""HTTP/1.1 to the letter: each row of tests/conformance/http1.txt, as the codec, a real relay, haproxy and nginx read it."""
import shutil
import subprocess

import http_table
import pytest

RECORDED = {"haproxy": "version 2.6.", "nginx": "nginx/1.22."}  # other versions may answer otherwise
TABLE = http_table.rows()


def refuses(words):
    """Whether a row's words say no: a status of an error, or an end without a word."""
    first = [w.split(":")[0] for w in http_table.spread(words).split()]
    return first == ["close"] or any(w.isdigit() and int(w) >= 400 for w in first)


def test_the_codec():
    said = http_table.codec(TABLE)
    assert len(said) == len(TABLE)
    wrong = [f"{row.name}: {got}, not {row.portway}" for row, got in zip(TABLE, said) if got != http_table.spread(row.portway)]
    assert not wrong, "\n".join(wrong)


def test_the_table():
    names = [row.name for row in TABLE]
    assert len(names) == len(set(names)) and len(names) >= 150
    silent = [row.name for row in TABLE if not row.why
              and any(refuses(row.portway) != refuses(row.fields[peer]) for peer in http_table.ASKED if peer in row.fields)]
    assert not silent, f"one refuses what another takes, and nothing says why: {silent}"


def test_a_relay():
    """The same rows sent to a relay, in front of a backend that records, or as the answer of one."""
    said = http_table.peer_answers(TABLE, "relay")
    assert len(said) == len([row for row in TABLE if "relay" in row.fields]) >= 250
    wrong = [f"{TABLE[i].name}: {got}, not {TABLE[i].relay}" for i, got in said.items() if got != http_table.spread(TABLE[i].relay)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("peer", http_table.PEERS)
def test_a_peer(peer):
    assert shutil.which(peer), f"{peer} is not installed (make deps)"
    said = subprocess.run([peer, "-v"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    if RECORDED[peer] not in said:
        pytest.skip(f"the table was recorded with another version than {said.splitlines()[0]}")
    wrong = [f"{TABLE[i].name}: {got}, not {TABLE[i].fields[peer]}" for i, got in http_table.peer_answers(TABLE, peer).items()
             if got != http_table.spread(TABLE[i].fields[peer])]
    assert not wrong, "\n".join(wrong)
