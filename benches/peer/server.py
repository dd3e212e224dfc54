#!/usr/bin/env python3
"""What the server of examples/ollama takes beside its answers, and how soon the first one begins.

    server.py PEER MODEL --program OLLAMA [--rounds N] [--busy]

- from the start of the server to the first token of a request, against llama-server, in turn
- memory of a server without a loaded model
- /api/tags, /api/ps and /api/show on 64 connections while an answer is computed: how long each
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


def answer(url):
    options = {"num_predict": 200, "temperature": 0, "ignore_eos": True}
    body = {"model": "m", "prompt": PROMPT, "raw": True, "options": options}
    end = {}
    for line in compare.post(f"{url}/api/generate", body):
        end = json.loads(line)
    return end["eval_count"] / end["eval_duration"] * 1e9


def beside(server, rounds):
    server.start()
    answer(server.url)
    kept, times = [], []
    for _ in range(rounds):
        alone = answer(server.url)
        stop = threading.Event()
        lists = [[] for _ in range(CONNECTIONS)]
        clients = [
            threading.Thread(target=ask_often, args=(server.url, stop, one, index))
            for index, one in enumerate(lists)
        ]
        for client in clients:
            client.start()
        kept.append(answer(server.url) / alone)
        stop.set()
        for client in clients:
            client.join()
        times += [time for one in lists for time in one]
    times.sort()
    p99 = times[-(-len(times) * 99 // 100) - 1]
    print(f"- {len(times)} questions on {CONNECTIONS} connections: p99 {p99 * 1e3:.1f} ms")
    rounds = " ".join(f"{ratio:.3f}" for ratio in kept)
    print(f"- the answer kept {statistics.median(kept):.3f} of its speed ({rounds})")
    server.stop()


def ask_often(url, stop, times, index):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    questions = [("GET", "/api/tags", None), ("GET", "/api/ps", None), ("POST", "/api/show", '{"model": "m"}')]
    turn = index
    stop.wait(PAUSE * index / CONNECTIONS)
    while not stop.is_set():
        method, path, body = questions[turn % len(questions)]
        turn += 1
        start = time.monotonic()
        connection.request(method, path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        times.append(time.monotonic() - start)
        if reply.status != 200:
            sys.exit(f"{path}: {reply.status}")
        stop.wait(PAUSE)


if __name__ == "__main__":
    main()
