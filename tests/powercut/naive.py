"""A store of one page, to show what the machine finds in stores that are wrong.

A directory of preallocated files `log.N`; a record is a header (length, checksum) and a payload, and is acknowledged
after `fdatasync`. A reader takes the files in order and each one up to the first record that is not intact. After an
unclean stop `RIGHT` goes on in a new file; `WRONG` goes on behind the last byte of the file that was open."""

import os
import pathlib
import struct
import zlib

FILE_BYTES = 1 << 20
HEADER = struct.Struct("<II")
RIGHT, WRONG = "new file", "same file"


class Store:
    """The store, opened for appending."""

    def __init__(self, directory, way):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True)
        files = sorted(self.directory.glob("log.*"))
        if files and way == WRONG:
            self.file = os.open(files[-1], os.O_RDWR)
            self.end = len(files[-1].read_bytes().rstrip(b"\0"))
        else:
            self.file = os.open(self.directory / f"log.{len(files)}", os.O_RDWR | os.O_CREAT)
            os.pwrite(self.file, bytes(FILE_BYTES), 0)
            self.end = 0
        # Nothing is decided on bytes that a predecessor never made durable.
        os.fsync(self.file)
        folder = os.open(self.directory, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def append(self, payload):
        """Returns when the record is on the device."""
        record = HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        os.pwrite(self.file, record, self.end)
        os.fdatasync(self.file)
        self.end += len(record)

    def close(self):
        os.close(self.file)


def read(directory):
    """All payloads."""
    payloads = []
    for path in sorted(pathlib.Path(directory).glob("log.*")):
        contents, at = path.read_bytes(), 0
        while at + HEADER.size <= len(contents):
            length, checksum = HEADER.unpack_from(contents, at)
            payload = contents[at + HEADER.size: at + HEADER.size + length]
            if length == 0 or len(payload) < length or zlib.crc32(payload) != checksum:
                break
            payloads.append(payload)
            at += HEADER.size + length
    return payloads
