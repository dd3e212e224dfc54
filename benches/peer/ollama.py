"""Starts the server of examples/ollama for comparisons, with a store of its own."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request


class Server:
    """A server on a free port with MODEL under the name `m`, from its start until the end of the block."""

    def __init__(self, program, model, environment):
        self.home = tempfile.mkdtemp(prefix="llamakit-serving-", dir=pathlib.Path(model).resolve().parent)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.environment = os.environ | {name: str(value) for name, value in environment.items()}
        self.environment |= {"HOME": self.home, "OLLAMA_HOST": f"127.0.0.1:{port}"}
        self.environment["OLLAMA_MODELS"] = f"{self.home}/models"
        self.program = pathlib.Path(program).resolve()
        modelfile = pathlib.Path(self.home) / "Modelfile"
        modelfile.write_text(f"FROM {pathlib.Path(model).resolve()}\n")
        self.run("create", "m", "-f", str(modelfile))
        self.url = f"http://127.0.0.1:{port}"

    def run(self, *arguments):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([self.program, *arguments], env=self.environment, check=True, **quiet)

    def start(self):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([self.program, "serve"], env=self.environment, **quiet)
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.url, timeout=5)
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.01)
        sys.exit("the server did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def __enter__(self):
        self.start()
        return self.url

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
