"""What all scripts share: where the server is, what they ask, and how a check is told."""

import asyncio
import enum
import inspect
import json
import os
import socket
import sys
import time
import traceback
import urllib.error
import urllib.request

import pydantic

HOST = os.environ["OLLAMA_HOST"]
URL = f"http://{HOST}"
MODEL = "smollm2"
# The same model with a template that knows tools.
TOOLS_MODEL = "smollm2-tools"
UNKNOWN = "no-such-model"
OPTIONS = {"num_predict": 16, "temperature": 0, "seed": 7}
# The model is sure of its answer, so that rounding does not change it.
QUESTION = "Write the numbers from 1 to 50, separated by commas."
# And here it is not.
STORY = "Tell me a story."

TOOLS_TEMPLATE = """{{- if or .System .Tools }}<|im_start|>system
{{ .System }}
{{- if .Tools }}
You may call these tools:
<tools>
{{- range .Tools }}
{"type": "function", "function": {{ .Function }}}
{{- end }}
</tools>
A call is JSON between <tool_call> and </tool_call>.
{{- end }}<|im_end|>
{{ end }}
{{- range .Messages }}
{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ .Content }}
{{- range .ToolCalls }}<tool_call>
{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
</tool_call>
{{- end }}<|im_end|>
{{ else if eq .Role "tool" }}<|im_start|>user
<tool_response>
{{ .Content }}
</tool_response><|im_end|>
{{ end }}
{{- end }}<|im_start|>assistant
"""

# A call whose arguments are bounded, so that any model writes them to their end.
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Paris", "London", "Rome"]},
        "days": {"type": "integer", "enum": [1, 2, 3]},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city on the next days",
        "parameters": WEATHER,
    },
}


class Colour(str, enum.Enum):
    blue = "blue"
    red = "red"


class Sky(pydantic.BaseModel):
    """Any model can write this to its end."""

    colour: Colour
    cloudy: bool
    degrees: int = pydantic.Field(ge=-50, le=50)


class Failed(Exception):
    """What a user would see instead of what was promised."""


_checks = []


def check(function):
    """A check: its name, read as words, says what holds."""
    _checks.append(function)
    return function


def expect(holds, message):
    if not holds:
        raise Failed(message)


def raised(kind, call):
    """The error that a call ends with, which must be of this kind."""
    try:
        call()
    except kind as error:
        return error
    except Exception as error:
        raise Failed(f"{type(error).__name__} instead of {kind.__name__}: {error}") from None
    raise Failed(f"no {kind.__name__}")


async def raised_async(kind, call):
    try:
        await call()
    except kind as error:
        return error
    except Exception as error:
        raise Failed(f"{type(error).__name__} instead of {kind.__name__}: {error}") from None
    raise Failed(f"no {kind.__name__}")


def line_of(error):
    """The line of the script that an error came by."""
    frames = traceback.extract_tb(error.__traceback__)
    own = os.path.basename(sys.argv[0])
    return next((frame.lineno for frame in reversed(frames) if os.path.basename(frame.filename) == own), "?")


def run():
    """Runs all checks, prints a line for each, and ends the program."""
    failed = 0
    only = sys.argv[1:]
    for function in _checks:
        name = function.__name__
        if only and name not in only:
            continue
        began = time.monotonic()
        try:
            outcome = function()
            if inspect.isawaitable(outcome):
                asyncio.run(outcome)
            verdict = "ok"
        except Failed as error:
            verdict = f"FAILED: {error}"
        except Exception as error:
            verdict = f"FAILED: {type(error).__name__}: {error} (line {line_of(error)})"
        failed += verdict != "ok"
        shown = name.replace("_", " ") if name.isidentifier() else name
        print(f"  {shown}: {verdict} ({time.monotonic() - began:.1f} s)")
    sys.exit(1 if failed else 0)


def post(path, body, method="POST"):
    """Asks without any client: the status, and the reply's JSON or lines of JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            status, text = reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    return status, lines[0] if len(lines) == 1 else lines


def get(path):
    return post(path, None, "GET")[1]


def make_tools_model():
    status, reply = post(
        "/api/create", {"model": TOOLS_MODEL, "from": MODEL, "template": TOOLS_TEMPLATE, "stream": False}
    )
    expect(status == 200, f"the model for tools can't be created: {status} {reply}")


def wait_until(holds, seconds, message):
    """What must come true by itself, soon."""
    end = time.monotonic() + seconds
    while not holds():
        expect(time.monotonic() < end, f"{message}, even after {seconds} s")
        time.sleep(0.05)


def requests_running():
    """Requests that the server still works on."""
    return sum(model.get("requests", 0) for model in get("/api/ps")["models"])


def loaded():
    """The names of loaded models."""
    return [model["name"] for model in get("/api/ps")["models"]]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
