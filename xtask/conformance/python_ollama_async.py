"""Ollama's own client for Python, by its asynchronous calls."""

import asyncio

import ollama
from common import *

MESSAGES = [{"role": "user", "content": QUESTION}]


def client():
    return ollama.AsyncClient(host=HOST)


@check
async def generate_and_chat_answer():
    async with client() as asked:
        reply = await asked.generate(MODEL, QUESTION, options=OPTIONS)
        expect(reply.response and reply.eval_count == 16, f"generate gives {reply!r}")
        reply = await asked.chat(MODEL, MESSAGES, options=OPTIONS)
        expect(reply.message.content and reply.done, f"chat gives {reply!r}")


@check
async def generate_and_chat_stream():
    async with client() as asked:
        parts = [part async for part in await asked.generate(MODEL, QUESTION, options=OPTIONS, stream=True)]
        expect(len(parts) > 3 and parts[-1].done, f"generate came in {len(parts)} parts")
        parts = [part async for part in await asked.chat(MODEL, MESSAGES, options=OPTIONS, stream=True)]
        expect("".join(part.message.content for part in parts), "chat says nothing")
        expect(parts[-1].done_reason == "length", f"the last part is {parts[-1]!r}")


@check
async def many_ask_at_once_and_get_their_own_answers():
    numbers = ["one", "two", "three", "four"]
    async with client() as asked:

        async def count(word):
            prompt = f"Repeat the word: {word} {word} {word} {word} {word} {word}"
            return await asked.generate(MODEL, prompt, raw=True, options=OPTIONS)

        replies = await asyncio.gather(*map(count, numbers))
    for word, reply in zip(numbers, replies):
        others = [other for other in numbers if other != word and f" {other} {other}" in reply.response]
        expect(word in reply.response and not others, f"who asked for {word!r} got {reply.response!r}")


@check
async def an_abandoned_task_stops_the_work():
    async with client() as asked:
        begun = asyncio.Event()

        async def answer():
            options = {"num_predict": 4000, "num_ctx": 8192, "temperature": 0, "repeat_penalty": 1.3}
            async for _ in await asked.chat(MODEL, MESSAGES, options=options, stream=True):
                begun.set()

        task = asyncio.create_task(answer())
        await asyncio.wait_for(begun.wait(), 60)
        task.cancel()
        outcome = await asyncio.gather(task, return_exceptions=True)
        expect(isinstance(outcome[0], asyncio.CancelledError), f"the cancelled task ends with {outcome[0]!r}")
    wait_until(lambda: requests_running() == 0, 5, "the server goes on computing for nobody")


@check
async def structured_output_and_log_probabilities():
    async with client() as asked:
        options = {**OPTIONS, "num_predict": 100}
        reply = await asked.chat(MODEL, MESSAGES, format=Sky.model_json_schema(), options=options)
        Sky.model_validate_json(reply.message.content)
        reply = await asked.chat(MODEL, MESSAGES, logprobs=True, top_logprobs=2, options=OPTIONS)
        expect(len(reply.logprobs) == 16, f"16 tokens have {len(reply.logprobs or [])} log-probabilities")


@check
async def embed_gives_vectors():
    async with client() as asked:
        reply = await asked.embed(MODEL, ["one", "two", "three"])
        expect([len(vector) for vector in reply.embeddings] == [576] * 3, "there are not 3 vectors of 576 numbers")


@check
async def models_are_managed():
    async with client() as asked:
        await asked.copy(MODEL, "async-copy")
        names = [model.model for model in (await asked.list()).models]
        expect("async-copy:latest" in names, f"the copy is not among {names}")
        shown = await asked.show("async-copy")
        expect(shown.details.family == "llama", f"its family is {shown.details.family!r}")
        steps = [
            step.status async for step in await asked.create("async-made", from_=MODEL, system="Be brief.", stream=True)
        ]
        expect(steps[-1] == "success", f"create ends with {steps[-1]!r}")
        await asked.generate(MODEL, QUESTION, options=OPTIONS, keep_alive="5m")
        expect([model.model for model in (await asked.ps()).models], "ps shows nothing though a model is loaded")
        for name in ["async-copy", "async-made"]:
            reply = await asked.delete(name)
            expect(reply.status == "success", f"delete says {reply.status!r}")


@check
async def errors_are_response_errors():
    async with client() as asked:
        error = await raised_async(ollama.ResponseError, lambda: asked.chat(UNKNOWN, MESSAGES))
        expect((error.status_code, error.error) == (404, f"model '{UNKNOWN}' not found"), f"chat: {error}")

        async def streamed():
            return [part async for part in await asked.generate(UNKNOWN, QUESTION, stream=True)]

        error = await raised_async(ollama.ResponseError, streamed)
        expect(error.status_code == 404, f"generate, streamed: {error}")
        error = await raised_async(ollama.ResponseError, lambda: asked.chat(MODEL, MESSAGES, think=True))
        expect(error.status_code == 400, f"think: {error}")


run()
