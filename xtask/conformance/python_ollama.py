"""Ollama's own client for Python, by its synchronous calls: answers of all kinds."""

import ollama
from common import *

client = ollama.Client(host=HOST)
MESSAGES = [{"role": "user", "content": QUESTION}]


def get_weather(city: str, days: int) -> str:
    """
    The weather of a city.

    Args:
      city: The name of the city
      days: How many days

    Returns:
      str: The weather
    """
    return f"rain in {city} for {days} days"


@check
def generate_answers():
    reply = client.generate(MODEL, QUESTION, options=OPTIONS)
    expect(reply.response.strip(), "the answer is empty")
    expect(
        reply.done and reply.done_reason == "length",
        f"16 tokens end with done_reason {reply.done_reason!r}, not 'length'",
    )
    expect(reply.eval_count == 16, f"num_predict 16 gave {reply.eval_count} tokens")
    expect(reply.model == MODEL, f"the reply names model {reply.model!r}")
    for name in ["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_duration"]:
        expect((reply[name] or 0) > 0, f"{name} is {reply[name]!r}")
    expect(reply.total_duration >= reply.eval_duration, "the whole took less time than its part")
    expect(reply.context and all(isinstance(token, int) for token in reply.context), "context is no list of tokens")


@check
def generate_streams():
    whole = client.generate(MODEL, QUESTION, options=OPTIONS).response
    parts = list(client.generate(MODEL, QUESTION, options=OPTIONS, stream=True))
    expect(len(parts) > 3, f"16 tokens came in {len(parts)} parts")
    expect("".join(part.response for part in parts) == whole, "the stream says something else than the whole answer")
    expect([part.done for part in parts] == [False] * (len(parts) - 1) + [True], "done is not true at the end alone")
    expect(parts[-1].eval_count == 16 and parts[0].eval_count is None, "counts are not in the last part alone")


@check
def generate_takes_system_raw_template_context_and_suffix():
    with_system = client.generate(MODEL, QUESTION, system="You speak of boats only.", options=OPTIONS)
    without = client.generate(MODEL, QUESTION, options=OPTIONS)
    expect(with_system.prompt_eval_count != without.prompt_eval_count, "system does not change the prompt")
    raw = client.generate(MODEL, "The capital of France is", raw=True, options=OPTIONS)
    expect("Paris" in raw.response, f"raw 'The capital of France is' goes on with {raw.response!r}")
    expect(not raw.context, "a raw answer has a context")
    templated = client.generate(MODEL, "The capital of France is", template="{{ .Prompt }}", options=OPTIONS)
    expect("Paris" in templated.response, f"template {{{{ .Prompt }}}} goes on with {templated.response!r}")
    again = client.generate(MODEL, "And why is it red?", context=without.context, options=OPTIONS)
    expect(again.prompt_eval_count > len(without.context), "context is not before the prompt")
    error = raised(ollama.ResponseError, lambda: client.generate(MODEL, "def f(", suffix="return 1", options=OPTIONS))
    expect(error.status_code == 400 and "does not support insert" in error.error, f"suffix: {error}")


@check
def chat_answers():
    reply = client.chat(MODEL, MESSAGES, options=OPTIONS)
    expect(reply.message.role == "assistant" and reply.message.content.strip(), f"the message is {reply.message!r}")
    expect(reply["message"]["content"] == reply.message.content, "subscripts do not work")
    expect(
        reply.done_reason == "length" and reply.eval_count == 16, f"{reply.done_reason} after {reply.eval_count} tokens"
    )


@check
def chat_streams():
    whole = client.chat(MODEL, MESSAGES, options=OPTIONS).message.content
    parts = list(client.chat(MODEL, MESSAGES, options=OPTIONS, stream=True))
    expect(
        "".join(part.message.content for part in parts) == whole, "the stream says something else than the whole answer"
    )
    expect(parts[-1].done and parts[-1].done_reason == "length", f"the last part is {parts[-1]!r}")
    expect(all(part.message.role == "assistant" for part in parts), "a part has another role")


@check
def chat_remembers_what_was_said_before():
    history = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "My name is Ferdinand. Say my name."},
        {"role": "assistant", "content": "Your name is Ferdinand."},
        {"role": "user", "content": "Say my name again."},
    ]
    reply = client.chat(MODEL, history, options=OPTIONS)
    expect("Ferdinand" in reply.message.content, f"it says {reply.message.content!r}")
    short = client.chat(MODEL, history[-1:], options=OPTIONS)
    expect(reply.prompt_eval_count > short.prompt_eval_count, "the history is not in the prompt")
    again = client.chat(MODEL, [*history, reply.message, {"role": "user", "content": "Thanks"}], options=OPTIONS)
    expect(again.message.content, "a reply's message can't be sent back")


@check
def a_seed_repeats_an_answer():
    options = {"seed": 42, "temperature": 0, "num_predict": 24}
    answers = {client.generate(MODEL, QUESTION, options=options).response for _ in range(2)}
    expect(len(answers) == 1, f"seed 42 at temperature 0 gave {answers}")
    options["temperature"] = 1.5
    drawn = {client.generate(MODEL, STORY, options={**options, "seed": seed}).response for seed in range(3)}
    expect(len(drawn) > 1, f"three seeds at temperature 1.5 gave {drawn}")


@check
def stop_texts_end_an_answer():
    whole = client.generate(MODEL, QUESTION, options=OPTIONS).response
    stop = whole.split()[3]
    reply = client.generate(MODEL, QUESTION, options=ollama.Options(**OPTIONS, stop=[stop]))
    expect(stop not in reply.response and whole.startswith(reply.response), f"stop {stop!r} left {reply.response!r}")
    expect(reply.done_reason == "stop", f"done_reason is {reply.done_reason!r}")


@check
def structured_output_follows_a_pydantic_schema():
    options = {**OPTIONS, "num_predict": 100}
    reply = client.chat(MODEL, MESSAGES, format=Sky.model_json_schema(), options=options)
    Sky.model_validate_json(reply.message.content)
    expect(reply.done_reason == "stop", f"the JSON is whole and done_reason is {reply.done_reason!r}")
    reply = client.generate(MODEL, QUESTION, format=Sky.model_json_schema(), options=options)
    Sky.model_validate_json(reply.response)
    parts = client.chat(MODEL, MESSAGES, format=Sky.model_json_schema(), options=options, stream=True)
    Sky.model_validate_json("".join(part.message.content for part in parts))


@check
def format_json_begins_an_object():
    reply = client.chat(MODEL, MESSAGES, format="json", options={**OPTIONS, "num_predict": 8})
    expect(reply.message.content.lstrip().startswith("{"), f"it says {reply.message.content!r}")


@check
def log_probabilities_come_with_the_answer():
    reply = client.generate(MODEL, QUESTION, logprobs=True, top_logprobs=3, options={**OPTIONS, "num_predict": 6})
    expect(len(reply.logprobs) == 6, f"6 tokens have {len(reply.logprobs or [])} log-probabilities")
    expect("".join(token.token for token in reply.logprobs) == reply.response, "the tokens are not the answer")
    for token in reply.logprobs:
        expect(token.logprob <= 0 and len(token.top_logprobs) == 3, f"a token has {token!r}")
        expect(token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob, "the likeliest is not first")
    chat = client.chat(MODEL, MESSAGES, logprobs=True, options={**OPTIONS, "num_predict": 6}, stream=True)
    count = sum(len(part.logprobs or []) for part in chat)
    expect(count == 6, f"a stream of 6 tokens has {count} log-probabilities")
    expect(not client.generate(MODEL, QUESTION, options=OPTIONS).logprobs, "they come without being asked for")
    error = raised(ollama.ResponseError, lambda: client.generate(MODEL, QUESTION, logprobs=True, top_logprobs=21))
    expect(
        error.status_code == 400 and error.error == "top_logprobs must be between 0 and 20", f"top_logprobs 21: {error}"
    )


@check
def tools_are_called_or_not():
    make_tools_model()
    messages = [{"role": "user", "content": "What is the weather in Paris on the next 2 days?"}]
    reply = client.chat(TOOLS_MODEL, messages, tools=[get_weather], options={**OPTIONS, "num_predict": 48})
    calls = reply.message.tool_calls or []
    expect(calls or reply.message.content, "there is neither a call nor an answer")
    expect("<tool_call>" not in (reply.message.content or "") or not calls, "a call is also in the text")
    for call in calls:
        expect(call.function.name == "get_weather", f"it calls {call.function.name!r}, which does not exist")


@check
def results_of_tools_are_answered():
    call = {"function": {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}}
    messages = [
        {"role": "user", "content": "What is the weather in Paris?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": get_weather("Paris", 2), "tool_name": "get_weather"},
    ]
    reply = client.chat(TOOLS_MODEL, messages, tools=[get_weather, WEATHER_TOOL], options=OPTIONS)
    expect(reply.message.content or reply.message.tool_calls, "there is no answer to a tool's result")
    parts = list(client.chat(TOOLS_MODEL, messages, tools=[get_weather], options=OPTIONS, stream=True))
    expect(parts[-1].done, "the stream does not end")


@check
def tools_without_a_template_for_them_are_refused():
    error = raised(ollama.ResponseError, lambda: client.chat(MODEL, MESSAGES, tools=[get_weather]))
    expect(error.status_code == 400 and "does not support tools" in error.error, f"it says {error}")


@check
def thinking_is_refused_where_the_model_cannot():
    wanted = f'"{MODEL}" does not support thinking'
    for call in [
        lambda: client.chat(MODEL, MESSAGES, think=True),
        lambda: client.generate(MODEL, QUESTION, think=True),
    ]:
        error = raised(ollama.ResponseError, call)
        expect((error.status_code, error.error) == (400, wanted), f"it says {error}")
    reply = client.chat(MODEL, MESSAGES, think=False, options=OPTIONS)
    expect(reply.message.content and not reply.message.thinking, "think false does not answer plainly")


@check
def embed_gives_vectors_of_length_one():
    reply = client.embed(MODEL, ["The sky is blue", "Grass is green"])
    expect([len(vector) for vector in reply.embeddings] == [576, 576], "there are not 2 vectors of 576 numbers")
    for vector in reply.embeddings:
        length = sum(x * x for x in vector) ** 0.5
        expect(abs(length - 1) < 1e-3, f"a vector has length {length}")
    expect(reply.prompt_eval_count > 4, f"prompt_eval_count is {reply.prompt_eval_count}")
    one = client.embed(MODEL, "The sky is blue").embeddings
    expect(max(abs(a - b) for a, b in zip(one[0], reply.embeddings[0])) < 1e-2, "a text alone has another vector")
    expect(
        len(client.embed(MODEL, "blue", dimensions=64).embeddings[0]) == 64, "dimensions 64 does not give 64 numbers"
    )
    old = client.embeddings(MODEL, "The sky is blue").embedding
    expect(len(old) == 576, f"the older call gives {len(old)} numbers")


@check
def a_stream_that_is_left_stops_the_work():
    stream = client.generate(
        MODEL,
        QUESTION,
        options={"num_predict": 4000, "temperature": 0, "num_ctx": 8192, "repeat_penalty": 1.3},
        stream=True,
    )
    first = next(stream)
    expect(first.response is not None and not first.done, f"the first part is {first!r}")
    stream.close()
    wait_until(lambda: requests_running() == 0, 5, "the server goes on computing for nobody")


@check
def unknown_models_are_404_as_ollama_says_it():
    calls = {
        "generate": lambda: client.generate(UNKNOWN, QUESTION),
        "generate, streamed": lambda: list(client.generate(UNKNOWN, QUESTION, stream=True)),
        "chat": lambda: client.chat(UNKNOWN, MESSAGES),
        "chat, streamed": lambda: list(client.chat(UNKNOWN, MESSAGES, stream=True)),
        "embed": lambda: client.embed(UNKNOWN, "text"),
    }
    for name, call in calls.items():
        error = raised(ollama.ResponseError, call)
        expect((error.status_code, error.error) == (404, f"model '{UNKNOWN}' not found"), f"{name}: {error}")


@check
def wrong_requests_are_400():
    calls = {
        "raw with system": lambda: client.generate(MODEL, QUESTION, raw=True, system="x"),
        "a broken template": lambda: client.generate(MODEL, QUESTION, template="{{ .Prompt"),
        "a text as num_predict": lambda: client.chat(MODEL, MESSAGES, options={"num_predict": "many"}),
        "a schema that is none": lambda: client.chat(MODEL, MESSAGES, format={"type": "nonsense"}),
    }
    for name, call in calls.items():
        error = raised(ollama.ResponseError, call)
        expect(error.status_code == 400 and error.error, f"{name}: {error}")


@check
def no_server_is_a_connection_error():
    lonely = ollama.Client(host="127.0.0.1:9")
    error = raised(ConnectionError, lambda: lonely.generate(MODEL, QUESTION))
    expect("Failed to connect" in str(error), f"it says {error}")


run()
