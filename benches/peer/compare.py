#!/usr/bin/env python3
"""Compares llamakit with llama.cpp's own programs, and its default build with a native one.

    compare.py speed  PEER MODEL...   prefill of 512 and decode of 128 tokens against llama-bench
    compare.py memory PEER MODEL...   peak memory of the chat example against llama-server
    compare.py flags  MODEL...        a dependent crate with default flags against this repository

PEER is the folder with llama-bench and llama-server. Each program runs in turn, who is first
changing from round to round. Prints every figure, the medians and the ratios as Markdown.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

REPO = pathlib.Path(__file__).resolve().parents[2]
MEASURE = REPO / "benches/peer/measure.rs"
PROMPT = "The ferry came in late again that evening, and everybody on the quay"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "memory", "flags"])
    parser.add_argument("paths", nargs="+", type=pathlib.Path, metavar="PATH")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=3, help="per round, after a warm-up")
    parser.add_argument("--ctx", type=int, default=4096, help="of the memory comparison")
    parser.add_argument("--answer", type=int, default=128, help="tokens, of the memory comparison")
    parser.add_argument("--busy", action="store_true", help="measure although others compute")
    args = parser.parse_args()
    paths = [path.resolve() for path in args.paths]
    peer, models = (None, paths) if args.what == "flags" else (paths[0], paths[1:])
    if not models:
        parser.error("no model given")

    ours = build_native(["measure", "chat"])
    dependent = build_dependent() if args.what == "flags" else None
    wait_for_quiet(args.busy)
    print(f"- machine: {cpu()}, {os.cpu_count()} cores; load before: {os.getloadavg()[0]:.2f}")
    for model in models:
        if args.what == "speed":
            commit = peer_commit(peer)
            sides = {
                "llamakit": lambda: measure(ours / "measure", model, args, native=True),
                "llama-bench": lambda: llama_bench(peer / "llama-bench", model, args),
            }
        elif args.what == "memory":
            commit = peer_commit(peer)
            sides = {
                "chat": lambda: chat_memory(ours / "chat", model, args),
                "llama-server": lambda: server_memory(peer / "llama-server", model, args),
            }
        else:
            commit = "the same"
            sides = {
                "default flags": lambda: measure(dependent, model, args, native=False),
                "native": lambda: measure(ours / "measure", model, args, native=True),
            }
        print(f"- llamakit: {our_commit()}; peer: {commit}\n\n### {args.what}: {model.name}\n")
        report(alternate(sides, args.rounds))


def alternate(sides, rounds):
    """Runs every side once a round; figures of each by name of the quantity."""
    figures = {name: {} for name in sides}
    for index in range(rounds):
        order = list(sides) if index % 2 == 0 else list(reversed(sides))
        for name in order:
            for quantity, value in sides[name]().items():
                figures[name].setdefault(quantity, []).append(value)
    return figures


def report(figures):
    left, right = figures
    print(f"| | {left} | {right} | ratio | all rounds |\n|---|---|---|---|---|")
    for quantity in figures[left]:
        a, b = figures[left][quantity], figures[right][quantity]
        median = statistics.median(a), statistics.median(b)
        rounds = " ".join(f"{x:.4g}/{y:.4g}" for x, y in zip(a, b))
        print(
            f"| {quantity} | {median[0]:.4g} | {median[1]:.4g} "
            f"| **{median[0] / median[1]:.3f}** | {rounds} |",
            flush=True,
        )
    print()


# Our side


def build_native(examples):
    command = ["cargo", "build", "--release"]
    command += [part for example in examples for part in ("--example", example)]
    subprocess.run(command, cwd=REPO, check=True)
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    metadata = subprocess.run(command, cwd=REPO, check=True, stdout=subprocess.PIPE)
    return pathlib.Path(json.loads(metadata.stdout)["target_directory"]) / "release/examples"


def build_dependent():
    """The same program in a crate of its own, which knows nothing of this repository's settings."""
    crate = pathlib.Path(tempfile.gettempdir()) / "llamakit-dependent"
    (crate / "src").mkdir(parents=True, exist_ok=True)
    shutil.copy(MEASURE, crate / "src/main.rs")
    (crate / "Cargo.toml").write_text(
        '[package]\nname = "dependent"\nversion = "0.0.0"\nedition = "2024"\n\n'
        f"[dependencies]\nllamakit = {{ path = {json.dumps(str(REPO))} }}\n\n[workspace]\n"
    )
    settings = ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "LLAMAKIT_CPU")
    env = {name: value for name, value in os.environ.items() if name not in settings}
    env["CARGO_TARGET_DIR"] = str(crate / "target")
    subprocess.run(["cargo", "build", "--release"], cwd=crate, env=env, check=True)
    return crate / "target/release/dependent"


def measure(program, model, args, native):
    command = [program, model, str(args.threads), str(args.repetitions)]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    if result["native"] != native:
        sys.exit(f"{program} was built with the wrong flags: native is {result['native']}")
    return {
        "prefill 512, tokens/s": statistics.median(result["prefill"]),
        "decode 128, tokens/s": statistics.median(result["decode"]),
    }


def chat_memory(program, model, args):
    command = [program, "--model", model, "--ctx", args.ctx, "--threads", args.threads, "--greedy"]
    command += ["--max-tokens", args.answer, "--raw", "-p", PROMPT]
    process = subprocess.Popen([str(arg) for arg in command], stdout=subprocess.PIPE)
    with Watch(process) as watch:
        answer = process.stdout.read()
        if process.wait() != 0 or not answer.strip():
            sys.exit(f"{program} gave no answer")
    return watch.peaks()


# The peer


def llama_bench(program, model, args):
    command = [program, "-m", model, "-t", args.threads, "-p", 512, "-n", 128]
    command += ["-r", args.repetitions, "-ctk", "f16", "-ctv", "f16", "-o", "json"]
    done = subprocess.run(
        [str(arg) for arg in command], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    speeds = {}
    for test in json.loads(done.stdout):
        name = "prefill 512, tokens/s" if test["n_prompt"] else "decode 128, tokens/s"
        speeds[name] = statistics.median(test["samples_ts"])
    return speeds


def server_memory(program, model, args):
    more = ["-np", 1, "--cache-ram", 0]
    with Server(program, model, args.ctx, args.threads, more) as url:
        body = {"prompt": PROMPT, "temperature": 0, "n_predict": args.answer}
        if not json.load(post(f"{url}/completion", body))["content"].strip():
            sys.exit(f"{program} gave no answer")
        return url.watch.peaks()


class Url(str):
    """A server's address, with what is seen of its memory."""


class Server:
    """A llama-server on a free port, from its start until the end of the block."""

    def __init__(self, program, model, ctx, threads, more):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [program, "-m", model, "-c", ctx, "-t", threads, "--host", "127.0.0.1"]
        self.command = [str(arg) for arg in command + ["--port", port] + more]
        self.url = Url(f"http://127.0.0.1:{port}")

    def __enter__(self):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(self.command, **quiet)
        self.url.watch = Watch(self.process)
        self.url.watch.__enter__()
        wait_for_server(self.process, self.url)
        return self.url

    def __exit__(self, *_):
        self.url.watch.__exit__()
        self.process.terminate()
        self.process.wait()


def wait_for_server(process, url):
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if urllib.request.urlopen(f"{url}/health", timeout=5).status == 200:
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)
    process.kill()
    sys.exit("llama-server did not start")


def post(url, body):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    return urllib.request.urlopen(request, timeout=600)


class Watch:
    """The peaks of a process's memory, read from /proc until its answer is there."""

    FIELDS = ("VmHWM", "RssAnon")

    def __init__(self, process):
        self.status = pathlib.Path(f"/proc/{process.pid}/status")
        self.seen = dict.fromkeys(self.FIELDS, 0)
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def run(self):
        while True:
            last = self.done.is_set()
            try:
                lines = self.status.read_text().splitlines()
            except OSError:
                return
            for line in lines:
                field, _, value = line.partition(":")
                if field in self.seen:
                    self.seen[field] = max(self.seen[field], int(value.split()[0]))
            if last:
                return
            self.done.wait(0.002)

    def peaks(self):
        return {f"{field}, MiB": self.seen[field] / 1024 for field in self.FIELDS}


# The machine


def wait_for_quiet(busy):
    """Figures of a machine that does other things as well mean nothing."""
    deadline = time.monotonic() + 300
    while not busy and os.getloadavg()[0] > 0.5:
        if time.monotonic() > deadline:
            sys.exit(f"the load is {os.getloadavg()[0]:.2f}; end what runs, or say --busy")
        time.sleep(5)


def cpu():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"


def our_commit():
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(describe, cwd=REPO, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() or "unknown"


def peer_commit(peer):
    """What llama-server says of itself; a tree without git does not know its commit."""
    if not (peer / "llama-server").exists():
        return "unknown"
    done = subprocess.run(
        [str(peer / "llama-server"), "--version"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return next((l for l in done.stdout.splitlines() if l.startswith("version")), "unknown")


if __name__ == "__main__":
    main()
