"""Hand-made Kafka frames over a raw socket, for what no client library sends."""

import socket
import struct


class Wire:
    """One raw connection."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=20)

    @classmethod
    def over(cls, connected):
        """Speaks over a socket that is connected already."""
        wire = cls.__new__(cls)
        wire.socket = connected
        return wire

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, key, version, correlation, body=b"", client_id=b"probe"):
        """Sends one request with header version 1."""
        header = struct.pack(">hhih", key, version, correlation, len(client_id)) + client_id
        self.send_raw(struct.pack(">i", len(header) + len(body)) + header + body)

    def receive(self):
        """One response: (correlation id, body)."""
        (length,) = struct.unpack(">i", self._exactly(4))
        payload = self._exactly(length)
        return struct.unpack(">i", payload[:4])[0], payload[4:]

    def is_closed(self):
        """Whether the broker closes the connection without another byte."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, "the connection was closed"
            data += piece
        return data

    def close(self):
        self.socket.close()


def text(value):
    """A classic string."""
    return struct.pack(">h", len(value)) + value
