"""`ollama runner` as its server starts it: what it is told by pipe, and GET /health and POST /completion."""

import json
import os
import subprocess
import urllib.error
import urllib.request

from common import *

TOKEN = "a token that only the server knows"


def weights():
    folder = os.path.join(os.environ["OLLAMA_MODELS"], "blobs")
    return max((os.path.join(folder, name) for name in os.listdir(folder)), key=os.path.getsize)


def started():
    """A runner and its port."""
    runner = subprocess.Popen(["ollama", "runner"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(message):
        runner.stdin.write(json.dumps(message) + "\n")
        runner.stdin.flush()

    def reported(kind):
        for line in runner.stdout:
            report = json.loads(line) if line.startswith("{") else {}
            expect("failed" not in report, f"the runner says {line!r}")
            if kind in report:
                return report[kind]
        raise Failed(f"the runner ended before it said {kind}")

    tell(
        {
            "token": TOKEN,
            "spec": {"model": [weights()], "context_length": 1024, "parallel": 1, "queue": 8, "kv_cache": "f16"},
        }
    )
    memory = reported("measured")
    expect(memory["weights"] > 50_000_000, f"it measures {memory}")
    tell({"memory_budget": None})
    return runner, reported("ready")["port"]


def asked(port, path, body=None, token=TOKEN):
    """The status and the lines of JSON of a reply."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)) as reply:
            return reply.status, [json.loads(line) for line in reply.read().decode().splitlines()]
    except urllib.error.HTTPError as error:
        return error.code, []


@check
def health_and_completion():
    runner, port = started()
    try:
        status, (health,) = asked(port, "/health")
        expect(status == 200 and health["running"] == 0 and not health["stalled"], f"GET /health: {status} {health}")
        request = {"prompt": {"text": "The capital of France is"}, "max_tokens": 8, "sampling": {"temperature": 0}}
        status, events = asked(port, "/completion", request)
        text = "".join(event.get("t", "") for event in events)
        expect(status == 200 and "Paris" in text, f"POST /completion: {status} {events}")
        expect(events[-1]["f"]["generated_tokens"] == 8, f"it ends with {events[-1]}")
        status, _ = asked(port, "/completion", {"prompt": 5})
        expect(status == 400, f"a prompt that is a number: {status}")
    finally:
        runner.kill()
        runner.wait()


@check
def only_who_knows_the_token_is_answered():
    runner, port = started()
    try:
        for path, body in [("/health", None), ("/completion", {"prompt": {"text": "x"}})]:
            status, _ = asked(port, path, body, token="guessed")
            expect(status == 401, f"{path} with another token: {status}")
    finally:
        runner.kill()
        runner.wait()


@check
def it_leaves_with_its_server():
    runner, _ = started()
    runner.stdin.close()
    try:
        runner.wait(5)
    except subprocess.TimeoutExpired:
        runner.kill()
        raise Failed("it lives on when its pipe is closed") from None


run()
