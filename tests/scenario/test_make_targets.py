"""Names of make targets that people know from elsewhere: each is there, and one that makes no sense says why and exits 2."""
import os
import subprocess

import pytest

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
NAMES = ("run-dev test-unit test-integration test-load test-race test-coverage coverage-html docker-build release db-init db-migrate "
         "db-migrate-schema db-reset db-list db-backup db-menu build-tools").split()


def make(*args):
    return subprocess.run(["make", "--no-print-directory", *args], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
                          env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))})


@pytest.mark.parametrize("name", NAMES)
def test_there(name):
    out = make("-n", name)
    assert out.returncode == 0, out.stderr


@pytest.mark.parametrize("name", ["coverage-html", "docker-build", "release"])
def test_says_why(name):
    out = make(name)
    assert out.returncode == 2
    assert out.stderr.splitlines()[0].startswith(name + ": ")


def test_help_lists_what_is_there():
    listed = {line.split()[0] for line in make("help").stdout.splitlines()}
    assert set(NAMES) - {"coverage-html", "docker-build", "release"} <= listed
