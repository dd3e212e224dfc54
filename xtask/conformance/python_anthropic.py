"""Anthropic's client for Python, synchronous and asynchronous."""

import anthropic
import pydantic
from common import *

client = anthropic.Anthropic(base_url=URL, api_key="ollama", max_retries=0)
MESSAGES = [{"role": "user", "content": QUESTION}]
# The client has no field for it any more.
GREEDY = {"temperature": 0}
ASKED = {"extra_body": GREEDY, "model": MODEL, "max_tokens": 16, "messages": MESSAGES}
ANY = {"type": "any", "disable_parallel_tool_use": True}
TOOL = {"name": "get_weather", "description": "The weather of a city", "input_schema": WEATHER}


def async_client():
    return anthropic.AsyncAnthropic(base_url=URL, api_key="ollama", max_retries=0)


@check
def messages_answer():
    reply = client.messages.create(**ASKED)
    expect(reply.type == "message" and reply.role == "assistant" and reply.id.startswith("msg_"), f"it gives {reply!r}")
    expect(reply.content[0].type == "text" and reply.content[0].text.strip(), f"its content is {reply.content!r}")
    expect(reply.stop_reason == "max_tokens", f"16 tokens end with stop_reason {reply.stop_reason!r}")
    expect(reply.usage.output_tokens == 16, f"usage is {reply.usage!r}")
    expect(reply.model == MODEL, f"the reply names model {reply.model!r}")


@check
def messages_stream_by_events():
    kinds = []
    for event in client.messages.create(**ASKED, stream=True):
        kinds.append(event.type)
    order = list(dict.fromkeys(kind for kind in kinds if kind != "ping"))
    wanted = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    expect(order == wanted, f"events come in the order {order}")


@check
def messages_stream_by_the_clients_helper():
    with client.messages.stream(**ASKED) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    expect(text and final.content[0].text == text, f"it accumulated {final.content!r}")
    expect(
        final.stop_reason == "max_tokens" and final.usage.output_tokens == 16,
        f"it ends with {final.stop_reason!r}, {final.usage!r}",
    )


@check
def system_and_history():
    history = [
        {"role": "user", "content": "My name is Ferdinand. Say my name."},
        {"role": "assistant", "content": [{"type": "text", "text": "Your name is Ferdinand."}]},
        {"role": "user", "content": [{"type": "text", "text": "Say my name again."}]},
    ]
    system = [{"type": "text", "text": "You are a helpful assistant.", "cache_control": {"type": "ephemeral"}}]
    reply = client.messages.create(model=MODEL, max_tokens=24, messages=history, system=system, extra_body=GREEDY)
    expect("Ferdinand" in reply.content[0].text, f"it says {reply.content[0].text!r}")


@check
def stop_sequences_are_told():
    whole = client.messages.create(**ASKED).content[0].text
    stop = whole.split()[3]
    reply = client.messages.create(**ASKED, stop_sequences=[stop, "never said"])
    expect(
        (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", stop),
        f"{reply.stop_reason!r}, {reply.stop_sequence!r}",
    )
    expect(whole.startswith(reply.content[0].text) and stop not in reply.content[0].text, f"it says {reply.content!r}")


@check
def tokens_are_counted_as_they_are_used():
    count = client.messages.count_tokens(model=MODEL, messages=MESSAGES, system="Be brief.").input_tokens
    usage = client.messages.create(**ASKED, system="Be brief.").usage
    used = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    expect(count == used and count > 5, f"counted {count}, used {used}")
    longer = client.messages.count_tokens(model=MODEL, messages=MESSAGES, system="Be brief. " * 10).input_tokens
    expect(longer > count + 15, f"a longer system message counts {longer} after {count}")


class Plain(pydantic.BaseModel):
    """Of what the client sends of a schema: it keeps ranges of numbers for itself."""

    colour: Colour
    cloudy: bool


@check
def structured_output_is_parsed_by_the_client():
    reply = client.messages.parse(**{**ASKED, "max_tokens": 100}, output_format=Plain)
    expect(isinstance(reply.parsed_output, Plain), f"it parsed {reply.content!r}")
    expect(reply.stop_reason == "end_turn", f"stop_reason is {reply.stop_reason!r}")


@check
def tool_choice_calls_and_results_are_answered():
    make_tools_model()
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    limits = {"model": TOOLS_MODEL, "max_tokens": 80, "extra_body": GREEDY, "tools": [TOOL]}
    for choice in [ANY, {**ANY, "type": "tool", "name": "get_weather"}]:
        reply = client.messages.create(messages=asked, tool_choice=choice, **limits)
        calls = [block for block in reply.content if block.type == "tool_use"]
        expect(
            calls and calls[0].name == "get_weather" and calls[0].id, f"tool_choice {choice} gives {reply.content!r}"
        )
        expect(calls[0].input["city"] in WEATHER["properties"]["city"]["enum"], f"its input is {calls[0].input!r}")
        expect(reply.stop_reason == "tool_use", f"stop_reason is {reply.stop_reason!r}")
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": calls[0].id, "content": "rain"}]}
    history = [*asked, {"role": "assistant", "content": reply.content}, result]
    reply = client.messages.create(messages=history, **{**limits, "max_tokens": 16})
    expect(reply.content, "a tool's result is not answered")
    with client.messages.stream(messages=asked, tool_choice=ANY, **limits) as stream:
        final = stream.get_final_message()
    calls = [block for block in final.content if block.type == "tool_use"]
    expect(calls and set(calls[0].input) == {"city", "days"}, f"streamed, it gives {final.content!r}")


@check
async def asynchronous_calls():
    async with async_client() as asked:
        reply = await asked.messages.create(**ASKED)
        expect(reply.content[0].text, f"it gives {reply!r}")
        async with asked.messages.stream(**ASKED) as stream:
            text = "".join([piece async for piece in stream.text_stream])
        expect(text, "the stream says nothing")
        count = await asked.messages.count_tokens(model=MODEL, messages=MESSAGES)
        expect(count.input_tokens > 5, f"it counts {count!r}")
        await raised_async(anthropic.NotFoundError, lambda: asked.messages.create(**{**ASKED, "model": UNKNOWN}))


@check
def a_stream_that_is_left_stops_the_work():
    with client.messages.stream(**{**ASKED, "max_tokens": 4000, "extra_body": {"num_ctx": 8192}}) as stream:
        for _ in stream.text_stream:
            break
    wait_until(lambda: requests_running() == 0, 5, "the server goes on computing for nobody")


@check
def errors_have_this_apis_shape():
    error = raised(anthropic.NotFoundError, lambda: client.messages.create(**{**ASKED, "model": UNKNOWN}))
    expect(
        error.body["type"] == "error" and error.body["error"]["type"] == "not_found_error", f"it says {error.body!r}"
    )
    expect(f"model '{UNKNOWN}' not found" in error.body["error"]["message"], f"it says {error.body!r}")
    streamed = lambda: list(client.messages.create(**{**ASKED, "model": UNKNOWN}, stream=True))
    raised(anthropic.NotFoundError, streamed)
    wrong = {
        "no messages": {**ASKED, "messages": []},
        "max_tokens 0": {**ASKED, "max_tokens": 0},
        "tools of a model without": {**ASKED, "tools": [TOOL]},
        "a role that is none": {**ASKED, "messages": [{"role": "robot", "content": "x"}]},
    }
    for name, request in wrong.items():
        error = raised(anthropic.BadRequestError, lambda request=request: client.messages.create(**request))
        expect(
            error.body["error"]["type"] == "invalid_request_error" and error.body["error"]["message"],
            f"{name}: {error.body!r}",
        )


run()
