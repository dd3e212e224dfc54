"""LangChain's integration."""

from common import *
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM


def model(**settings):
    settings = {"num_predict": 16, "temperature": 0, "seed": 7, **settings}
    return ChatOllama(model=MODEL, base_url=URL, validate_model_on_init=True, **settings)


@check
def chat_answers_and_remembers():
    history = [
        SystemMessage("You are a helpful assistant."),
        HumanMessage("My name is Ferdinand. Say my name."),
        AIMessage("Your name is Ferdinand."),
        HumanMessage("Say my name again."),
    ]
    reply = model().invoke(history)
    expect("Ferdinand" in reply.content, f"it says {reply.content!r}")
    expect(reply.usage_metadata["output_tokens"] > 0, f"usage is {reply.usage_metadata!r}")
    expect(reply.response_metadata["done"], f"metadata is {reply.response_metadata!r}")


@check
def chat_streams():
    parts = list(model().stream(QUESTION))
    expect(len(parts) > 3, f"16 tokens came in {len(parts)} parts")
    expect(
        "".join(part.content for part in parts) == model().invoke(QUESTION).content, "the stream says something else"
    )


@check
async def chat_answers_asynchronously():
    reply = await model().ainvoke(QUESTION)
    expect(reply.content, "it says nothing")
    parts = [part async for part in model().astream(QUESTION)]
    expect("".join(part.content for part in parts) == reply.content, "the stream says something else")


@check
def structured_output_is_a_pydantic_object():
    reply = model(num_predict=100).with_structured_output(Sky).invoke(QUESTION)
    expect(isinstance(reply, Sky), f"it gives {reply!r}")


@check
def tools_are_bound():
    make_tools_model()
    bound = ChatOllama(model=TOOLS_MODEL, base_url=URL, num_predict=40, temperature=0).bind_tools([WEATHER_TOOL])
    reply = bound.invoke("What is the weather in Paris?")
    expect(reply.content or reply.tool_calls, "there is neither a call nor an answer")


@check
def completions_and_embeddings():
    text = OllamaLLM(model=MODEL, base_url=URL, num_predict=16, temperature=0).invoke("Say hello")
    expect(text, "the completion is empty")
    vectors = OllamaEmbeddings(model=MODEL, base_url=URL).embed_documents(["one", "two"])
    expect([len(vector) for vector in vectors] == [576, 576], "there are not 2 vectors of 576 numbers")


run()
