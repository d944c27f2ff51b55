"""Fixtures: a broker of the built binary on a temporary directory, the data set, the Java helper."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from broker import Broker  # noqa: E402
from dataset import load_flights  # noqa: E402


@pytest.fixture
def broker(tmp_path):
    """A running two-core broker; stopped at the end, its log shown if the test failed."""
    with Broker(tmp_path / "data") as running:
        yield running


@pytest.fixture(scope="session")
def flights():
    """All rows of the flights table as bytes, in file order."""
    return load_flights()
