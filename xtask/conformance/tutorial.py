"""Runs every block of `tutorial.md` in order, as it is written there, on a server of its own."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

from common import *

HERE = pathlib.Path(__file__).parent
BLOCK = re.compile(
    r"```(?P<kind>\w+)(?P<background> background)?\n(?P<text>.*?)\n```(?P<wanted>(?:\n<!-- .*? -->)*)", re.S
)
WANTED = re.compile(r"<!-- (never )?prints: (.*) -->")
FOLDER = pathlib.Path(os.environ["HOME"]) / "tutorial"


def blocks():
    """What to run, with the ports that are free here."""
    text = (HERE / "tutorial.md").read_text()
    text = text.replace("localhost:11434", HOST).replace("11435", str(SECOND_PORT))
    return list(BLOCK.finditer(text))


SECOND_PORT = free_port()
behind = None


def end_background():
    global behind
    if behind:
        os.killpg(behind.pid, signal.SIGTERM)
        behind.wait()
        behind = None


def begin_background(text):
    global behind
    end_background()
    log = open(FOLDER / "background.log", "w")
    behind = subprocess.Popen(["bash", "-euc", text], cwd=FOLDER, stdout=log, stderr=log, start_new_session=True)
    end = time.monotonic() + 10
    while socket.socket().connect_ex(("127.0.0.1", SECOND_PORT)) != 0:
        told = (FOLDER / "background.log").read_text()
        expect(behind.poll() is None and time.monotonic() < end, f"it does not listen: {told}")
        time.sleep(0.05)


def run_block(block):
    """What the block prints; standard output before standard error."""
    kind, text = block["kind"], block["text"]
    if kind == "modelfile":
        (FOLDER / "Modelfile").write_text(text + "\n")
        return ""
    if block["background"]:
        begin_background(text)
        return ""
    program = {"shell": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[kind]
    try:
        ended = subprocess.run(
            [*program, text], cwd=FOLDER, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise Failed("it does not end") from None
    expect(ended.returncode == 0, f"exit code {ended.returncode}: {ended.stdout}{ended.stderr}")
    expect("\x1b" not in ended.stdout, f"there are control characters where there is no terminal: {ended.stdout!r}")
    return ended.stdout + ended.stderr


def compare(block, printed):
    for never, pattern in WANTED.findall(block["wanted"]):
        found = re.search(pattern, printed, re.M)
        expect(bool(found) != bool(never), f"{'it prints' if never else 'it does not print'} {pattern!r}: {printed!r}")


def as_check(block):
    def checked():
        compare(block, run_block(block))

    words = block["text"].replace("\n", " ")
    checked.__name__ = words if len(words) < 70 else words[:67] + "..."
    return checked


@check
def short_answers_are_set_up():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    limits = {"model": MODEL, "from": MODEL, "parameters": {"num_predict": 24}, "stream": False}
    status, reply = post("/api/create", limits)
    expect(status == 200, f"the model can't be made anew of itself: {status} {reply}")


for found in blocks():
    check(as_check(found))

try:
    run()
finally:
    end_background()
