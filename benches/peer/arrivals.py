"""Reads a streamed answer and when each of its lines came, with as little work as can be while it comes.

The asked server computes on the same cores. What Python does for a line is therefore done after the last one.
"""

import bisect
import json
import socket
import time
import urllib.parse


def read(url, body):
    """The lines of the answer, each with the seconds from the request until its end was there."""
    parts = urllib.parse.urlsplit(url)
    content = json.dumps(body).encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    start = time.monotonic()
    pieces, times = [], []
    with socket.create_connection((parts.hostname, parts.port), timeout=600) as connection:
        connection.sendall(head.encode() + content)
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
            times.append(time.monotonic() - start)
    ends, received = [], 0
    for piece in pieces:
        received += len(piece)
        ends.append(received)
    for end, line in lines(b"".join(pieces)):
        yield times[bisect.bisect_left(ends, end)], line


def lines(answer):
    """The lines of the body, each with how many bytes of the answer had to come for it."""
    head, _, _ = answer.partition(b"\r\n\r\n")
    if b"200" not in head.split(b"\r\n")[0] or b"chunked" not in head.lower():
        raise RuntimeError(f"the server answered {answer[:500]!r}")
    at, line = len(head) + 4, b""
    while size := int(answer[at : answer.index(b"\r\n", at)], 16):
        begin = answer.index(b"\r\n", at) + 2
        for piece in answer[begin : begin + size].splitlines(keepends=True):
            line += piece
            if line.endswith(b"\n"):
                yield begin + size, line
                line = b""
        at = begin + size + 2
