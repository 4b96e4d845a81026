"""The NBD protocol by hand, to say what no well-behaved client says."""

import socket
import struct

REPLY_MAGIC = 0x3E889045565A9
EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED_REPLY, LIST_META, SET_META, EXTENDED_HEADERS = 1, 2, 3, 5, 6, 7, 8, 9, 10, 11
ACK, SERVER, REP_INFO, REP_META = 1, 2, 3, 4
ERR_UNSUP, ERR_INVALID, ERR_UNKNOWN, ERR_TOO_BIG = 0x80000001, 0x80000003, 0x80000006, 0x80000009
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
EPERM, EIO, EINVAL, ENOSPC, ENOTSUP = 1, 5, 22, 28, 95
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = 1, 2, 4, 8, 16, 32
CHUNK_NONE, CHUNK_DATA, CHUNK_HOLE, CHUNK_STATUS, CHUNK_STATUS_EXT, CHUNK_ERROR = 0, 1, 2, 5, 6, 32769
LIMIT_S = 20


class Raw:
    """One connection, as far as the client flags; bytes from there on are the test's."""

    def __init__(self, site, flags=3, connected=None):
        self.socket = connected or socket.create_connection(("127.0.0.1", site.nbd_port), timeout=LIMIT_S)
        greeting = self.read(18)
        assert greeting == b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3)
        if flags is not None:
            self.send(struct.pack(">I", flags))
        self.cookie = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self, size):
        data = bytearray()
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            assert more, f"the server ended the connection after {bytes(data)!r}, {size} bytes were due"
            data += more
        return bytes(data)

    def ended(self):
        """The server ends the connection, saying nothing more."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def option(self, option, data=b"", length=None):
        self.send(b"IHAVEOPT" + struct.pack(">II", option, len(data) if length is None else length) + data)

    def reply(self, option):
        """Type and data of one option reply."""
        magic, echo, kind, size = struct.unpack(">QIII", self.read(20))
        assert (magic, echo) == (REPLY_MAGIC, option)
        return kind, self.read(size)

    def ask(self, option):
        """An option without data, which must be granted."""
        self.option(option)
        assert self.reply(option) == (ACK, b"")

    def choose_allocation(self, name):
        """base:allocation for the export; gives its id."""
        name, query = name.encode(), b"base:allocation"
        self.option(SET_META, struct.pack(">I", len(name)) + name + struct.pack(">II", 1, len(query)) + query)
        kind, data = self.reply(SET_META)
        assert kind == REP_META and data[4:] == query
        assert self.reply(SET_META) == (ACK, b"")
        return struct.unpack(">I", data[:4])[0]

    def go(self, name, option=GO):
        """Chooses the export; gives its size and flags."""
        name = name.encode()
        self.option(option, struct.pack(">I", len(name)) + name + struct.pack(">H", 0))
        kind, data = self.reply(option)
        assert kind == REP_INFO, (kind, data)
        assert self.reply(option) == (ACK, b"")
        return struct.unpack(">QH", data[2:])

    def request(self, command, offset=0, length=0, payload=b"", flags=0):
        self.cookie += 1
        self.send(struct.pack(">IHHQQI", 0x25609513, flags, command, self.cookie, offset, length) + payload)

    def extended(self, command, offset=0, length=0, payload=b"", flags=0):
        """A request with a header of 32 bytes."""
        self.cookie += 1
        self.send(struct.pack(">IHHQQQ", 0x21E41C71, flags, command, self.cookie, offset, length) + payload)

    def extended_chunk(self):
        """Flags, type and data of a chunk that answers the last request, whose offset is given."""
        magic, flags, kind, cookie, offset, size = struct.unpack(">IHHQQQ", self.read(32))
        assert (magic, cookie) == (0x6E8A278C, self.cookie)
        return flags, kind, offset, self.read(size)

    def answer(self):
        """Error and cookie of a simple reply without data."""
        magic, error, cookie = struct.unpack(">IIQ", self.read(16))
        assert magic == 0x67446698
        return error, cookie

    def error(self, command, offset=0, length=0, payload=b"", flags=0):
        """Sends a request; gives the error it is answered with."""
        self.request(command, offset, length, payload, flags)
        error, cookie = self.answer()
        assert cookie == self.cookie
        return error

    def chunk(self):
        """Flags, type, cookie and data of a structured reply chunk."""
        magic, flags, kind, cookie, size = struct.unpack(">IHHQI", self.read(20))
        assert magic == 0x668E33EF
        return flags, kind, cookie, self.read(size)
