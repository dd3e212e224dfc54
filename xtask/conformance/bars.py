"""`ollama pull` in a terminal, where bars are drawn in place, and into a pipe, where lines are plain."""

import os
import re
import shutil
import subprocess

from common import check, expect, run
from terminal import Terminal

MODEL = os.environ["CONFORMANCE_MODEL"]
COMMAND = ["ollama", "pull", "--insecure", MODEL]
COLUMNS = 80
SIZE = r"[\d.]+ [KMG]?B"
# A file on its way: percent, bar, size, rate, time left.
MOVING = re.compile(rf"^pulling [0-9a-f]{{12}}: +(\d+)% ▕[█ ]*▏ +{SIZE}/{SIZE} +{SIZE}/s +\d+[smh]\w*$")
HERE = re.compile(rf"^pulling [0-9a-f]{{12}}: 100% ▕█*▏ +{SIZE}$")
STATUS = re.compile(r"^(pulling manifest|verifying sha256 digest|writing manifest|success)( [⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏])?$")


def home(name):
    """A home without models."""
    path = os.path.join(os.environ["HOME"], name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


@check
def bars_are_drawn_in_place():
    # Slow enough to be seen.
    settings = {"HOME": home("terminal"), "OLLAMA_MAX_TRANSFER_RATE": "80M"}
    with Terminal(COMMAND, rows=24, columns=COLUMNS, **settings) as terminal:
        percents, screens = [], 0
        while not any(line == "success" for line in terminal.lines()):
            expect(screens < 3000, f"it does not end; the screen is\n{terminal.text()}")
            screens += 1
            terminal.read(0.05)
            while terminal.read(0):
                pass
            for line in terminal.lines():
                moving = MOVING.match(line)
                if moving:
                    percents.append(int(moving[1]))
                # A bar that wraps leaves a rest of a line.
                known = moving or HERE.match(line) or STATUS.match(line)
                expect(known, f"{line!r} is no bar and no status; the screen is\n{terminal.text()}")
        expect(terminal.wait_for_end() == 0, "it fails")
        expect(len(set(percents)) > 3, f"no bar was seen to move: {percents}")
        expect(percents == sorted(percents), f"a bar goes back: {percents}")
        lines = terminal.lines()
        expect(lines[0] == "pulling manifest" and lines[-1] == "success", f"the last screen is\n{terminal.text()}")
        full = [line for line in lines if HERE.match(line)]
        expect(len(full) == 2, f"there are not two bars: {lines}")
        for name in ("verifying sha256 digest", "writing manifest"):
            expect(name in lines, f"{name!r} is not told: {lines}")
        expect(terminal.screen.cursor.x == 0, "the shell's prompt would stand behind the last line")


@check
def what_is_here_already_is_shown_at_once():
    with Terminal(COMMAND, rows=24, columns=COLUMNS, HOME=os.path.join(os.environ["HOME"], "terminal")) as terminal:
        expect(terminal.wait_for_end(30) == 0, "it fails")
        lines = terminal.lines()
        expect(lines[-1] == "success", f"the last screen is\n{terminal.text()}")
        expect(not any(MOVING.match(line) for line in lines), f"something was downloaded: {lines}")


@check
def a_pipe_gets_plain_lines():
    environment = {**os.environ, "HOME": home("pipe"), "TERM": "xterm-256color"}
    done = subprocess.run(COMMAND, env=environment, capture_output=True, timeout=120)
    expect(done.returncode == 0, f"it fails: {done.stderr}")
    text = (done.stdout + done.stderr).decode()
    control = {character for character in text if ord(character) < 32 and character != "\n" or character in "\x7f\x9b"}
    expect(not control, f"control characters: {control}")
    lines = text.splitlines()
    expect(lines[0] == "pulling manifest" and lines[-1] == "success", f"the lines are {lines}")
    expect(any(re.match(rf"^pulling [0-9a-f]{{12}}: 100% of {SIZE}$", line) for line in lines), f"no size: {lines}")


run()
