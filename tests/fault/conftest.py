"""Fixtures of the fault rounds. `fleet` is one controld with one relay, shared by a file's tests; a test that kills or
reconfigures daemons makes its own with `new_fleet`."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import portway  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(scope="module")
def fleet():
    f = portway.Fleet()
    try:
        yield f.start()
    finally:
        f.stop()


@pytest.fixture
def new_fleet():
    """new_fleet(relays=1, controld_env={}, relay_env={}): a fleet of the test's own, stopped when it ends."""
    made = []

    def make(relays=1, controld_env=None, relay_env=None):
        f = portway.Fleet(controld_env)
        made.append(f)
        return f.start(relays, relay_env)

    yield make
    errors = []
    for f in made:
        try:
            f.stop()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)
