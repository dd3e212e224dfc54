#!/usr/bin/env python3
"""What the server of examples/ollama takes beside its answers, and how soon the first one begins.

    server.py PEER MODEL --program OLLAMA [--rounds N] [--busy]

- from the start of the server to the first token of a request, against llama-server, in turn
- memory of a server without a loaded model
- /api/tags, /api/ps and /api/show on 64 connections, every other second of an answer: how long each
  takes, and what of its speed the answer keeps. 64 clients together ask 50 times a second.
"""

import argparse
import http.client
import json
import pathlib
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import compare
import ollama

PROMPT = "Once upon a time"
CONNECTIONS = 64
PAUSE = 1.28
SLICE = 1.0
TOKENS = 900


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help="measure although others compute")
    args = parser.parse_args()
    compare.wait_for_quiet(args.busy)
    print(f"- machine: {compare.cpu()}; {args.model.name}")
    print(f"- llamakit: {compare.our_commit()}; peer: {compare.peer_commit(args.peer)}\n")
    server = ollama.Server(args.program, args.model, {"OLLAMA_CONTEXT_LENGTH": 1024})
    try:
        sides = {
            "ollama of llamakit": lambda: {"start to first token, ms": first_of_ours(server)},
            "llama-server": lambda: {"start to first token, ms": first_of_theirs(args)},
        }
        compare.report(compare.alternate(sides, args.rounds))
        idle(server)
        beside(server, args.rounds)
    finally:
        server.__exit__()


def first_line(url, body, is_token):
    """Asks until something answers; the time of the first token."""
    while True:
        try:
            reply = compare.post(url, body)
            break
        except (urllib.error.URLError, ConnectionError):
            # Not listening yet, or still loading.
            time.sleep(0.002)
    for line in reply:
        if is_token(line):
            reply.close()
            return time.monotonic()
    sys.exit("no token came")


def first_of_ours(server):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.monotonic()
    server.process = subprocess.Popen([server.program, "serve"], env=server.environment, **quiet)
    body = {"model": "m", "prompt": PROMPT, "raw": True, "options": {"num_predict": 8, "temperature": 0}}
    is_token = lambda line: bool(json.loads(line).get("response"))
    took = first_line(f"{server.url}/api/generate", body, is_token) - start
    server.stop()
    return took * 1e3


def first_of_theirs(args):
    program = args.peer / "llama-server"
    peer = compare.Server(program, args.model, 4096, 2, ["-np", 4])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.monotonic()
    process = subprocess.Popen(peer.command, **quiet)
    body = {"prompt": PROMPT, "n_predict": 8, "temperature": 0, "stream": True}
    is_token = lambda line: line.startswith(b"data: ") and bool(json.loads(line[6:]).get("content"))
    took = first_line(f"{peer.url}/completion", body, is_token) - start
    process.terminate()
    process.wait()
    return took * 1e3


def idle(server):
    server.start()
    time.sleep(1)
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    print(f"- idle server: {int(resident.split()[1]) / 1024:.1f} MiB resident")
    server.stop()


def answer(url, tokens, arrived):
    options = {"num_predict": tokens, "temperature": 0, "ignore_eos": True}
    body = {"model": "m", "prompt": PROMPT, "raw": True, "options": options}
    for _ in compare.post(f"{url}/api/generate", body):
        arrived.append(time.monotonic())


def beside(server, rounds):
    """One answer a round, with questions beside every other second of it."""
    server.start()
    answer(server.url, 8, [])
    kept, times = [], []
    for _ in range(rounds):
        asking, stop, arrived = threading.Event(), threading.Event(), []
        lists = [[] for _ in range(CONNECTIONS)]
        clients = [
            threading.Thread(target=ask_often, args=(server.url, asking, stop, one, index))
            for index, one in enumerate(lists)
        ]
        for client in clients:
            client.start()
        changes = threading.Thread(target=change, args=(asking, stop, marks := []))
        changes.start()
        answer(server.url, TOKENS, arrived)
        stop.set()
        for thread in [*clients, changes]:
            thread.join()
        kept += speeds_beside(marks, arrived)
        times += [time for one in lists for time in one]
    times.sort()
    p99 = times[-(-len(times) * 99 // 100) - 1]
    print(f"- {len(times)} questions on {CONNECTIONS} connections: p99 {p99 * 1e3:.1f} ms")
    low, middle, high = statistics.quantiles(kept, n=4)
    print(f"- the answer kept {middle:.3f} of its speed (quartiles {low:.3f} and {high:.3f} of {len(kept)} seconds)")
    server.stop()


def change(asking, stop, marks):
    """Lets the clients ask, and be silent, in turn."""
    while not stop.wait(SLICE):
        if asking.is_set():
            asking.clear()
        else:
            asking.set()
        marks.append(time.monotonic())


def speeds_beside(marks, arrived):
    """The speed of each second with questions over that of the seconds before and after it."""
    # What was asked at its end is still answered at the beginning of the next.
    count = [sum(start + SLICE / 10 <= at < end for at in arrived) for start, end in zip(marks, marks[1:])]
    return [2 * count[at] / (count[at - 1] + count[at + 1]) for at in range(2, len(count) - 1, 2)]


def ask_often(url, asking, stop, times, index):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    questions = [("GET", "/api/tags", None), ("GET", "/api/ps", None), ("POST", "/api/show", '{"model": "m"}')]
    turn = index
    stop.wait(PAUSE * index / CONNECTIONS)
    while not stop.wait(PAUSE):
        if not asking.is_set():
            continue
        method, path, body = questions[turn % len(questions)]
        turn += 1
        start = time.monotonic()
        connection.request(method, path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        times.append(time.monotonic() - start)
        if reply.status != 200:
            sys.exit(f"{path}: {reply.status}")


if __name__ == "__main__":
    main()
