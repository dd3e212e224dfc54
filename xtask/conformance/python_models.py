"""Ollama's own client for Python: models are pulled, pushed, created, shown, copied and removed."""

import os
import tempfile

import ollama
from common import *

client = ollama.Client(host=HOST)
REGISTRY = os.environ["CONFORMANCE_REGISTRY"]


def names():
    return [model.model for model in client.list().models]


@check
def list_has_what_ollama_tells():
    models = {model.model: model for model in client.list().models}
    expect(f"{MODEL}:latest" in models, f"{MODEL}:latest is not among {list(models)}")
    model = models[f"{MODEL}:latest"]
    expect(len(model.digest) == 64 and model.size > 90_000_000, f"digest {model.digest!r}, size {model.size!r}")
    details = model.details
    expect((details.format, details.family) == ("gguf", "llama"), f"details are {details!r}")
    expect(details.quantization_level == "Q4_1" and details.parameter_size.endswith("M"), f"details are {details!r}")
    expect(model.modified_at.tzinfo is not None, "modified_at has no time zone")


@check
def show_tells_what_a_model_is():
    shown = client.show(MODEL)
    expect("completion" in shown.capabilities, f"capabilities are {shown.capabilities}")
    expect(shown.modelinfo["general.architecture"] == "llama", "model_info has no architecture")
    expect(shown.modelinfo["llama.context_length"] == 8192, "model_info has another context length")
    expect(shown.modelfile.startswith("# Modelfile"), f"the Modelfile begins with {shown.modelfile[:40]!r}")
    expect("\nFROM " in shown.modelfile, "the Modelfile has no FROM")
    expect("im_start" in shown.template, f"the template is {shown.template!r}")


@check
def create_makes_a_model_that_obeys():
    steps = list(
        client.create(
            "made",
            from_=MODEL,
            system="You are Mario.",
            parameters={"num_predict": 5, "stop": ["###", "END"]},
            messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "It's me"}],
            license="Do as you like",
            stream=True,
        )
    )
    expect(steps[-1].status == "success", f"create ends with {steps[-1]!r}")
    shown = client.show("made")
    for line in ["SYSTEM You are Mario.", "PARAMETER num_predict 5", "PARAMETER stop ###", "MESSAGE user Hi"]:
        expect(line in shown.modelfile.replace('"', ""), f"the Modelfile lacks {line!r}: {shown.modelfile}")
    expect(shown.license == "Do as you like", f"the licence is {shown.license!r}")
    reply = client.chat("made", [{"role": "user", "content": QUESTION}])
    expect(reply.eval_count == 5 and reply.done_reason == "length", f"num_predict 5 gave {reply.eval_count} tokens")
    asked = {"model": "made", "messages": [{"role": "user", "content": QUESTION}], "_debug_render_only": True}
    prompt = post("/api/chat", asked)[1]["_debug_info"]["rendered_template"]
    expect("You are Mario." in prompt and "It's me" in prompt, f"system and messages are not in the prompt: {prompt!r}")
    again = client.create("made", from_="made", system="You are Luigi.")
    expect(again.status == "success", f"create without a stream says {again.status!r}")
    expect("Luigi" in client.show("made").modelfile, "a model can't be made anew of itself")


@check
def create_takes_files_by_their_digests():
    folder = os.path.join(os.environ["OLLAMA_MODELS"], "blobs")
    weights = max((os.path.join(folder, name) for name in os.listdir(folder)), key=os.path.getsize)
    digest = client.create_blob(weights)
    reply = client.create("of-file", files={"model.gguf": digest}, template="{{ .Prompt }}")
    expect(reply.status == "success", f"create says {reply.status!r}")
    said = client.generate("of-file", "The capital of France is", options=OPTIONS).response
    expect("Paris" in said, f"it says {said!r}")
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"not a model")
        file.flush()
        digest = client.create_blob(file.name)
    error = raised(ollama.ResponseError, lambda: client.create("of-nothing", files={"model.gguf": digest}))
    expect(error.error, "what is no model became one")
    expect("of-nothing:latest" not in names(), "what is no model is listed")


@check
def copy_and_delete():
    expect(client.copy(MODEL, "copied:v1").status == "success", "copy fails")
    expect("copied:v1" in names(), f"the copy is not among {names()}")
    expect(client.delete("copied:v1").status == "success", "delete fails")
    expect("copied:v1" not in names(), "what was deleted is listed")


@check
def push_and_pull_by_a_registry():
    name = f"{REGISTRY}/conformance/made:v1"
    client.copy("made", name)
    steps = list(client.push(name, insecure=True, stream=True))
    expect(steps[-1].status == "success", f"push ends with {steps[-1]!r}")
    digest = {model.model: model.digest for model in client.list().models}[name]
    client.delete(name)
    steps = list(client.pull(name, insecure=True, stream=True))
    expect(steps[0].status == "pulling manifest", f"pull begins with {steps[0].status!r}")
    expect(steps[-1].status == "success", f"pull ends with {steps[-1]!r}")
    for step in steps:
        expect(
            not step.digest or step.completed is None or step.completed <= step.total, f"more than all came: {step!r}"
        )
    now = {model.model: model.digest for model in client.list().models}
    expect(now.get(name) == digest, f"what was pulled is {now.get(name)!r}, not {digest!r}")
    expect(client.pull(name, insecure=True).status == "success", "pull without a stream fails")
    missing = f"{REGISTRY}/conformance/missing:v1"
    error = raised(ollama.ResponseError, lambda: client.pull(missing, insecure=True))
    expect("file does not exist" in error.error, f"a missing model: {error}")
    error = raised(ollama.ResponseError, lambda: list(client.pull(missing, insecure=True, stream=True)))
    expect("file does not exist" in error.error, f"a missing model, streamed: {error}")


@check
def ps_shows_what_is_loaded():
    client.generate(MODEL, QUESTION, options={**OPTIONS, "num_ctx": 2048}, keep_alive="10m")
    models = {model.model: model for model in client.ps().models}
    expect(f"{MODEL}:latest" in models or any(models), f"ps shows {list(models)}")
    model = models.get(f"{MODEL}:latest") or next(iter(models.values()))
    expect(model.size > 90_000_000 and model.size_vram >= 0, f"its size is {model.size!r}")
    expect(model.context_length > 0, f"its context length is {model.context_length!r}")
    left = (model.expires_at - type(model.expires_at).now(model.expires_at.tzinfo)).total_seconds()
    expect(500 < left < 620, f"keep_alive 10m leaves {left} s")


@check
def empty_requests_load_and_unload():
    reply = client.generate(MODEL, keep_alive="5m")
    expect(reply.done and reply.done_reason == "load" and not reply.response, f"an empty prompt gives {reply!r}")
    expect(loaded(), "the model is not loaded")
    reply = client.generate(MODEL, keep_alive=0)
    expect(reply.done_reason == "unload", f"keep_alive 0 gives {reply!r}")
    wait_until(lambda: not loaded(), 2, "keep_alive 0 does not unload")
    reply = client.chat(MODEL, [], keep_alive="5m")
    expect(reply.done_reason == "load", f"a chat without messages gives {reply!r}")
    client.chat(MODEL, [{"role": "user", "content": "Hi"}], options=OPTIONS, keep_alive=0)
    wait_until(lambda: not loaded(), 2, "an answer with keep_alive 0 leaves the model loaded")


@check
def unknown_models_are_404_as_ollama_says_it():
    single = f"model '{UNKNOWN}' not found"
    calls = {
        "show": (lambda: client.show(UNKNOWN), single),
        "delete": (lambda: client.delete(UNKNOWN), single),
        "copy": (lambda: client.copy(UNKNOWN, "x"), f'model "{UNKNOWN}" not found'),
    }
    for name, (call, message) in calls.items():
        error = raised(ollama.ResponseError, call)
        expect((error.status_code, error.error) == (404, message), f"{name}: {error}")


@check
def wrong_names_are_400():
    error = raised(ollama.ResponseError, lambda: client.copy(MODEL, "../../etc/passwd"))
    expect(error.status_code == 400, f"copy: {error}")
    error = raised(ollama.ResponseError, lambda: client.create("a b", from_=MODEL))
    expect(error.status_code == 400, f"create: {error}")


run()
