"""OpenAI's client for Python, by its asynchronous calls."""

import asyncio

import openai
from common import *

MESSAGES = [{"role": "user", "content": QUESTION}]
SHORT = {"max_tokens": 16, "temperature": 0, "seed": 7}


def client():
    return openai.AsyncOpenAI(base_url=f"{URL}/v1/", api_key="ollama", max_retries=0)


@check
async def chat_answers_and_streams():
    async with client() as asked:
        reply = await asked.chat.completions.create(model=MODEL, messages=MESSAGES, **SHORT)
        whole = reply.choices[0].message.content
        stream = await asked.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **SHORT
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    expect(text == whole and whole, "the stream says something else than the whole answer")
    expect(chunks[-1].usage.completion_tokens == 16, f"the last part is {chunks[-1]!r}")


@check
async def many_ask_at_once():
    async with client() as asked:
        ask = lambda at: asked.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": f"Count from {at}"}], **SHORT
        )
        replies = await asyncio.gather(*map(ask, range(6)))
    expect(all(reply.choices[0].message.content for reply in replies), "one of 6 requests at once has no answer")


@check
async def responses_and_embeddings():
    async with client() as asked:
        events = [
            event
            async for event in await asked.responses.create(
                model=MODEL, input=QUESTION, max_output_tokens=12, stream=True
            )
        ]
        expect(events[-1].response.output_text, f"the last event is {events[-1]!r}")
        reply = await asked.embeddings.create(model=MODEL, input=["a", "b"])
        expect([len(item.embedding) for item in reply.data] == [576, 576], "there are not 2 vectors of 576 numbers")


@check
async def models_are_listed():
    async with client() as asked:
        names = [model.id async for model in asked.models.list()]
    expect(f"{MODEL}:latest" in names, f"{MODEL}:latest is not among {names}")


@check
async def a_closed_stream_stops_the_work():
    async with client() as asked:
        stream = await asked.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            stream=True,
            max_tokens=4000,
            temperature=0,
            frequency_penalty=1,
            extra_body={"num_ctx": 8192},
        )
        async for _ in stream:
            break
        await stream.close()
    wait_until(lambda: requests_running() == 0, 5, "the server goes on computing for nobody")


@check
async def errors_are_the_clients_own():
    async with client() as asked:
        error = await raised_async(
            openai.NotFoundError, lambda: asked.chat.completions.create(model=UNKNOWN, messages=MESSAGES)
        )
        expect(error.status_code == 404 and UNKNOWN in error.message, f"it says {error.message}")
        await raised_async(openai.BadRequestError, lambda: asked.chat.completions.create(model=MODEL, messages=[]))
    async with openai.AsyncOpenAI(base_url="http://127.0.0.1:9/v1/", api_key="x", max_retries=0) as lonely:
        await raised_async(openai.APIConnectionError, lambda: lonely.models.retrieve(MODEL))


run()
