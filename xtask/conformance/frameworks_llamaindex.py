"""LlamaIndex's integration."""

from common import *
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.ollama import Ollama

MESSAGES = [
    ChatMessage(role="user", content="My name is Ferdinand. Say my name."),
    ChatMessage(role="assistant", content="Your name is Ferdinand."),
    ChatMessage(role="user", content="Say my name again."),
]


def model(num_predict=16, **settings):
    options = {"num_predict": num_predict, "seed": 7}
    return Ollama(model=MODEL, base_url=URL, temperature=0, request_timeout=120, additional_kwargs=options, **settings)


@check
def chat_answers_and_remembers():
    reply = model(context_window=2048).chat(MESSAGES)
    expect("Ferdinand" in reply.message.content, f"it says {reply.message.content!r}")


@check
def chat_streams():
    parts = list(model(context_window=2048).stream_chat(MESSAGES))
    expect(len(parts) > 2, f"the answer came in {len(parts)} parts")
    expect("".join(part.delta or "" for part in parts) == parts[-1].message.content, "the parts are not the whole")


@check
async def completions_answer():
    whole = model(context_window=2048).complete(QUESTION).text
    expect(whole, "it says nothing")
    other = await model(context_window=2048).acomplete(QUESTION)
    expect(other.text == whole, "asked asynchronously, it says something else")


@check
def the_context_window_is_read_from_show():
    window = model().get_context_window()
    expect(window == 8192, f"it is {window}")


@check
def structured_output_is_a_pydantic_object():
    reply = model(num_predict=100, context_window=2048).structured_predict(
        Sky, PromptTemplate("{question}"), question=QUESTION
    )
    expect(isinstance(reply, Sky), f"it gives {reply!r}")


run()
