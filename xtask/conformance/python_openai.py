"""OpenAI's client for Python, by its synchronous calls."""

import json

import openai
from common import *

client = openai.OpenAI(base_url=f"{URL}/v1/", api_key="ollama", max_retries=0)
MESSAGES = [{"role": "user", "content": QUESTION}]
SHORT = {"max_tokens": 16, "temperature": 0, "seed": 7}


@check
def chat_answers():
    reply = client.chat.completions.create(model=MODEL, messages=MESSAGES, **SHORT)
    choice = reply.choices[0]
    expect(choice.message.role == "assistant" and choice.message.content.strip(), f"the message is {choice.message!r}")
    expect(choice.finish_reason == "length", f"16 tokens end with finish_reason {choice.finish_reason!r}")
    expect(reply.object == "chat.completion" and reply.id.startswith("chatcmpl-"), f"{reply.object!r}, {reply.id!r}")
    expect(reply.usage.completion_tokens == 16, f"usage is {reply.usage!r}")
    expect(reply.usage.total_tokens == reply.usage.prompt_tokens + 16, f"usage is {reply.usage!r}")
    expect(reply.model == MODEL and reply.created > 1_600_000_000, f"model {reply.model!r}, created {reply.created!r}")


@check
def chat_streams_with_usage_at_the_end():
    whole = client.chat.completions.create(model=MODEL, messages=MESSAGES, **SHORT).choices[0].message.content
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **SHORT
    )
    chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    expect(text == whole, "the stream says something else than the whole answer")
    expect(chunks[0].choices[0].delta.role == "assistant", "the first part has no role")
    expect(chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 16, f"the last part is {chunks[-1]!r}")
    expect(all(chunk.usage is None for chunk in chunks[:-1]), "usage is not in the last part alone")
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    expect(reasons == ["length"], f"finish reasons are {reasons}")
    plain = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **SHORT))
    expect(all(chunk.usage is None for chunk in plain) and plain[-1].choices, "usage comes without being asked for")


@check
def the_clients_own_stream_helper_accumulates():
    limits = {"max_tokens": 100, "temperature": 0}
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES, response_format=Sky, **limits) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        message = stream.get_final_completion().choices[0].message
    expect(text and message.content == text, f"it accumulated {message.content!r}")
    expect(isinstance(message.parsed, Sky), f"it parsed {message.parsed!r}")


@check
def history_and_parts_of_content():
    history = [
        {"role": "developer", "content": "You are a helpful assistant."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "My name is Ferdinand."}, {"type": "text", "text": "Say it."}],
        },
        {"role": "assistant", "content": "Your name is Ferdinand."},
        {"role": "user", "content": "Say my name again."},
    ]
    reply = client.chat.completions.create(model=MODEL, messages=history, **SHORT)
    expect("Ferdinand" in reply.choices[0].message.content, f"it says {reply.choices[0].message.content!r}")


@check
def tool_choice_required_calls():
    make_tools_model()
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    limits = {"max_tokens": 80, "temperature": 0, "seed": 7, "parallel_tool_calls": False}
    for choice in ["required", {"type": "function", "function": {"name": "get_weather"}}]:
        reply = client.chat.completions.create(
            model=TOOLS_MODEL, messages=asked, tools=[WEATHER_TOOL], tool_choice=choice, **limits
        )
        message = reply.choices[0].message
        expect(message.tool_calls, f"tool_choice {choice} gives {message!r}")
        call = message.tool_calls[0]
        expect(call.function.name == "get_weather" and call.type == "function" and call.id, f"it calls {call!r}")
        arguments = json.loads(call.function.arguments)
        expect(arguments["city"] in WEATHER["properties"]["city"]["enum"], f"its arguments are {arguments}")
        expect(reply.choices[0].finish_reason == "tool_calls", f"finish_reason is {reply.choices[0].finish_reason!r}")
    answer = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    reply = client.chat.completions.create(
        model=TOOLS_MODEL, messages=[*asked, message, answer], tools=[WEATHER_TOOL], **SHORT
    )
    expect(reply.choices[0].message.content or reply.choices[0].message.tool_calls, "a tool's result is not answered")


@check
def tool_calls_stream():
    asked = [{"role": "user", "content": "What is the weather in Rome?"}]
    stream = client.chat.completions.create(
        model=TOOLS_MODEL,
        messages=asked,
        tools=[WEATHER_TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        stream=True,
        max_tokens=80,
        temperature=0,
    )
    names, arguments, reasons = [], "", []
    for chunk in stream:
        for choice in chunk.choices:
            reasons += [choice.finish_reason] if choice.finish_reason else []
            for call in choice.delta.tool_calls or []:
                if call.index == 0:
                    names += [call.function.name] if call.function.name else []
                    arguments += call.function.arguments or ""
    expect(names == ["get_weather"], f"the names are {names}")
    expect(set(json.loads(arguments)) == {"city", "days"}, f"the arguments are {arguments!r}")
    expect(reasons == ["tool_calls"], f"finish reasons are {reasons}")


@check
def tool_choice_none_does_not_call():
    reply = client.chat.completions.create(
        model=TOOLS_MODEL, messages=MESSAGES, tools=[WEATHER_TOOL], tool_choice="none", **SHORT
    )
    expect(
        not reply.choices[0].message.tool_calls and reply.choices[0].message.content,
        f"it gives {reply.choices[0].message!r}",
    )


@check
def structured_output_is_parsed_by_the_client():
    limits = {"max_tokens": 100, "temperature": 0}
    reply = client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Sky, **limits)
    expect(isinstance(reply.choices[0].message.parsed, Sky), f"it parsed {reply.choices[0].message!r}")
    reply = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, response_format={"type": "json_object"}, **SHORT
    )
    expect(
        reply.choices[0].message.content.lstrip().startswith("{"),
        f"json_object gives {reply.choices[0].message.content!r}",
    )
    short = lambda: client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Sky, max_tokens=3)
    raised(openai.LengthFinishReasonError, short)


@check
def log_probabilities():
    reply = client.chat.completions.create(model=MODEL, messages=MESSAGES, logprobs=True, top_logprobs=4, **SHORT)
    tokens = reply.choices[0].logprobs.content
    expect(len(tokens) == 16, f"16 tokens have {len(tokens)} log-probabilities")
    expect(
        bytes(b for token in tokens for b in token.bytes).decode() == reply.choices[0].message.content,
        "the bytes are not the answer",
    )
    expect(all(token.logprob <= 0 and len(token.top_logprobs) == 4 for token in tokens), f"a token has {tokens[0]!r}")


@check
def stop_seed_and_several_answers():
    whole = client.chat.completions.create(model=MODEL, messages=MESSAGES, **SHORT).choices[0].message.content
    stop = whole.split()[3]
    choice = client.chat.completions.create(model=MODEL, messages=MESSAGES, stop=[stop], **SHORT).choices[0]
    expect(choice.finish_reason == "stop" and stop not in choice.message.content, f"stop {stop!r} gives {choice!r}")
    reply = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": STORY}], n=2, max_tokens=8, temperature=1.5, seed=1
    )
    expect([choice.index for choice in reply.choices] == [0, 1], f"n=2 gives {reply.choices!r}")
    expect(reply.choices[0].message.content != reply.choices[1].message.content, "both answers are the same")
    expect(reply.usage.completion_tokens == 16, f"usage of both is {reply.usage!r}")


@check
def a_stream_that_is_closed_stops_the_work():
    stream = client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        stream=True,
        max_tokens=4000,
        temperature=0,
        frequency_penalty=1,
        extra_body={"num_ctx": 8192},
    )
    expect(next(iter(stream)).choices, "the first part is empty")
    stream.close()
    wait_until(lambda: requests_running() == 0, 5, "the server goes on computing for nobody")


@check
def completions_answer_and_stream():
    # Answers that are compared are ones that the model is sure of.
    prompt = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,"
    limits = {"max_tokens": 12, "temperature": 0}
    reply = client.completions.create(model=MODEL, prompt=prompt, **limits)
    expect(reply.object == "text_completion" and reply.choices[0].text, f"it gives {reply!r}")
    expect(reply.usage.completion_tokens == 12, f"usage is {reply.usage!r}")
    parts = list(
        client.completions.create(
            model=MODEL, prompt=prompt, stream=True, stream_options={"include_usage": True}, **limits
        )
    )
    text = "".join(choice.text for part in parts for choice in part.choices)
    expect(text == reply.choices[0].text, "the stream says something else than the whole answer")
    expect(parts[-1].usage.completion_tokens == 12, f"the last part is {parts[-1]!r}")


@check
def embeddings_as_numbers_and_as_base64():
    plain = client.embeddings.create(model=MODEL, input=["blue", "green"], encoding_format="float")
    packed = client.embeddings.create(model=MODEL, input=["blue", "green"])
    expect([len(item.embedding) for item in plain.data] == [576, 576], "there are not 2 vectors of 576 numbers")
    expect([item.index for item in plain.data] == [0, 1], f"their numbers are {[item.index for item in plain.data]}")
    for a, b in zip(plain.data, packed.data):
        far = max(abs(x - y) for x, y in zip(a.embedding, b.embedding))
        expect(far < 1e-4, f"base64 differs from float by {far}")
    expect(plain.usage.prompt_tokens > 0 and plain.usage.total_tokens > 0, f"usage is {plain.usage!r}")
    short = client.embeddings.create(model=MODEL, input="blue", dimensions=32).data[0].embedding
    expect(len(short) == 32, f"dimensions 32 gives {len(short)} numbers")


@check
def models_are_listed_and_retrieved():
    models = {model.id: model for model in client.models.list()}
    expect(f"{MODEL}:latest" in models, f"{MODEL}:latest is not among {list(models)}")
    expect(models[f"{MODEL}:latest"].owned_by == "library", f"it is {models[f'{MODEL}:latest']!r}")
    model = client.models.retrieve(MODEL)
    expect(model.id.startswith(MODEL) and model.object == "model" and model.created > 1_600_000_000, f"it is {model!r}")


@check
def responses_answer():
    reply = client.responses.create(
        model=MODEL, input=QUESTION, instructions="Be brief.", max_output_tokens=16, temperature=0
    )
    expect(reply.output_text.strip(), f"it gives {reply.output!r}")
    expect(
        reply.status == "incomplete" and reply.incomplete_details.reason == "max_output_tokens",
        f"status is {reply.status!r}",
    )
    expect(reply.usage.output_tokens == 16, f"usage is {reply.usage!r}")
    history = [
        {"role": "user", "content": "My name is Ferdinand. Say my name."},
        {"role": "assistant", "content": "Your name is Ferdinand."},
        {"role": "user", "content": [{"type": "input_text", "text": "Say my name again."}]},
    ]
    reply = client.responses.create(model=MODEL, input=history, max_output_tokens=24, temperature=0)
    expect("Ferdinand" in reply.output_text, f"it says {reply.output_text!r}")


@check
def responses_stream():
    kinds, text = [], ""
    for event in client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=16, temperature=0, stream=True):
        kinds.append(event.type)
        text += event.delta if event.type == "response.output_text.delta" else ""
    expect(
        kinds[0] == "response.created" and kinds[-1] in ["response.completed", "response.incomplete"],
        f"events are {kinds}",
    )
    expect("response.output_item.added" in kinds and "response.output_text.done" in kinds, f"events are {kinds}")
    expect(event.response.output_text == text and text, f"the last event has {event.response.output_text!r}")


@check
def responses_call_tools_and_obey_schemas():
    tool = {"type": "function", "strict": True, **WEATHER_TOOL["function"]}
    asked = "What is the weather in London?"
    reply = client.responses.create(
        model=TOOLS_MODEL, input=asked, tools=[tool], tool_choice="required", max_output_tokens=80, temperature=0
    )
    calls = [item for item in reply.output if item.type == "function_call"]
    expect(calls and calls[0].name == "get_weather", f"it gives {reply.output!r}")
    expect(set(json.loads(calls[0].arguments)) == {"city", "days"}, f"its arguments are {calls[0].arguments!r}")
    result = {"type": "function_call_output", "call_id": calls[0].call_id, "output": "rain"}
    items = [{"role": "user", "content": asked}, *[call.to_dict() for call in calls], result]
    reply = client.responses.create(model=TOOLS_MODEL, input=items, tools=[tool], max_output_tokens=16, temperature=0)
    expect(reply.output, "a tool's result is not answered")
    reply = client.responses.parse(model=MODEL, input=QUESTION, text_format=Sky, max_output_tokens=100, temperature=0)
    expect(isinstance(reply.output_parsed, Sky), f"it parsed {reply.output!r}")


@check
def unknown_models_are_not_found():
    calls = {
        "chat": lambda: client.chat.completions.create(model=UNKNOWN, messages=MESSAGES),
        "chat, streamed": lambda: list(client.chat.completions.create(model=UNKNOWN, messages=MESSAGES, stream=True)),
        "completions": lambda: client.completions.create(model=UNKNOWN, prompt="x"),
        "embeddings": lambda: client.embeddings.create(model=UNKNOWN, input="x"),
        "responses": lambda: client.responses.create(model=UNKNOWN, input="x"),
        "models.retrieve": lambda: client.models.retrieve(UNKNOWN),
    }
    for name, call in calls.items():
        error = raised(openai.NotFoundError, call)
        expect(f"model '{UNKNOWN}' not found" in error.message, f"{name}: {error.message}")
        expect(error.type == "not_found_error" and error.body["message"], f"{name}: {error.body!r}")


@check
def wrong_requests_are_bad_requests():
    calls = {
        "no messages": lambda: client.chat.completions.create(model=MODEL, messages=[]),
        "a schema that is none": lambda: client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}},
        ),
        "tools of a model without": lambda: client.chat.completions.create(
            model=MODEL, messages=MESSAGES, tools=[WEATHER_TOOL]
        ),
        "thinking of a model without": lambda: client.chat.completions.create(
            model=MODEL, messages=MESSAGES, reasoning_effort="high"
        ),
        "temperature as a text": lambda: client.chat.completions.create(
            model=MODEL, messages=MESSAGES, temperature="hot"
        ),
    }
    for name, call in calls.items():
        error = raised(openai.BadRequestError, call)
        expect(error.type == "invalid_request_error" and error.body["message"], f"{name}: {error.body!r}")


run()
