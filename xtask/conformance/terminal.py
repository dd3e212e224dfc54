"""A program in a terminal of a certain size, what it shows there, and keys that are pressed."""

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pyte
from common import Failed, expect

CTRL_A, CTRL_C, CTRL_D, CTRL_U, CTRL_W = "\x01", "\x03", "\x04", "\x15", "\x17"
ENTER, UP, DOWN, LEFT = "\r", "\x1b[A", "\x1b[B", "\x1b[D"
PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"


class Terminal:
    def __init__(self, command, rows=40, columns=80, **variables):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        # What a terminal answers when it is asked where the cursor is.
        self.screen.write_process_input = self.send
        self.status = None
        # All that was ever written to it.
        self.received = ""
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **variables}
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvpe(command[0], command, environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)

    def send(self, keys):
        os.write(self.terminal, keys.encode())

    def read(self, seconds):
        """Shows what comes within this time; whether anything came."""
        ready, _, _ = select.select([self.terminal], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.terminal, 65536)
        except OSError as error:
            # That is how the end of the program is told.
            if error.errno != errno.EIO:
                raise
            data = b""
        self.received += data.decode(errors="replace")
        self.stream.feed(data)
        return bool(data)

    def lines(self):
        """What is shown, from the top."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def text(self):
        return "\n".join(self.lines())

    def wait(self, holds, message, seconds=30):
        """Reads until this holds of what is shown: a pattern, or a function."""
        if isinstance(holds, str):
            pattern = re.compile(holds, re.M)
            holds = lambda: pattern.search(self.text())
        end = time.monotonic() + seconds
        while True:
            while self.read(0):
                pass
            found = holds()
            if found:
                return found
            expect(time.monotonic() < end, f"{message}; the screen is\n{self.text()}")
            self.read(0.05)

    def prompted(self):
        """Whether it waits for a line: the prompt is there, and the cursor behind it."""
        return self.line().startswith(">>>") and self.screen.cursor.x == 4

    def wait_for_prompt(self, seconds=60):
        self.wait(self.prompted, "there is no prompt", seconds)

    def line(self):
        """The line that the cursor is in."""
        return self.screen.display[self.screen.cursor.y].rstrip()

    def enter(self, line):
        """Types a line at the prompt, and waits for the next prompt; what is shown between both."""
        self.wait_for_prompt()
        typed = f">>> {line}"
        self.send(line)
        self.wait(lambda: self.line() == typed, f"{line!r} is not shown while it is typed")
        self.send(ENTER)
        self.wait(lambda: self.line() != typed, f"{line!r} does nothing")
        self.wait_for_prompt()
        return self.since(line)

    def since(self, typed):
        """What is shown below the last line that was typed so, without the prompt at the end."""
        lines = self.lines()
        prompts = (f">>> {typed}", f"... {typed}")
        at = max((number for number, line in enumerate(lines[:-1]) if line.startswith(prompts)), default=-1)
        return "\n".join(lines[at + 1 : -1])

    def wait_for_end(self, seconds=10):
        """The exit code."""
        end = time.monotonic() + seconds
        while self.status is None:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise Failed(f"it does not end; the screen is\n{self.text()}")
        return self.status
