"""`ollama run` in a terminal, screen by screen."""

import json
import os
import subprocess
import time

from common import *
from terminal import CTRL_A, CTRL_C, CTRL_D, CTRL_U, CTRL_W, DOWN, ENTER, LEFT, PASTE_BEGINS, PASTE_ENDS, UP, Terminal
from wcwidth import wcswidth

# Answers shortly.
BRIEF = "brief"
MARGIN = 5


def session(*arguments, **settings):
    return Terminal(["ollama", "run", BRIEF, *arguments], **settings)


def saying(text):
    """The arguments that make any model say this, as JSON."""
    return ["--format", json.dumps({"type": "string", "enum": [text]}, ensure_ascii=False), "--num-predict", "1000"]


def modelfile(name):
    return post("/api/show", {"model": name})[1]["modelfile"]


@check
def a_model_is_set_up():
    parameters = {"num_predict": 12, "temperature": 0, "seed": 7}
    status, reply = post("/api/create", {"model": BRIEF, "from": MODEL, "parameters": parameters, "stream": False})
    expect(status == 200, f"it can't be created: {status} {reply}")


@check
def the_prompt_appears():
    with session() as terminal:
        terminal.wait(r"^>>> Send a message \(/\? for help\)$", "there is no prompt with its hint")
        expect(terminal.prompted(), f"the cursor is not behind the prompt: {terminal.text()}")
        terminal.send("x")
        terminal.wait(r"^>>> x$", "the hint stays when a key is pressed")


@check
def an_answer_comes_and_the_next_prompt():
    with session() as terminal:
        said = terminal.enter(QUESTION)
        expect(len(said.split()) > 2, f"the answer is {said!r}")
        expect(said.endswith("\n"), f"there is no empty line between the answer and the prompt: {terminal.text()}")
        expect(terminal.enter("Why?").strip(), "the second answer is empty")


@check
def a_question_on_the_command_line_needs_no_keys():
    with session(QUESTION) as terminal:
        expect(terminal.wait_for_end(60) == 0, f"its exit code is {terminal.status}")
        expect(len(terminal.text().split()) > 2, f"the answer is {terminal.text()!r}")


@check
def three_quotes_begin_and_end_a_message_of_several_lines():
    with session() as terminal:
        terminal.wait_for_prompt()
        terminal.send('"""Hello,' + ENTER)
        terminal.wait(r"^\.\.\. ", "the second line has no prompt of its own")
        terminal.send('world"""' + ENTER)
        terminal.wait_for_prompt()
        expect(terminal.since("world").strip(), f"there is no answer: {terminal.text()}")
        terminal.enter("/save several-lines")
        expect(
            "Hello,\nworld" in modelfile("several-lines"),
            f"the message is not both lines: {modelfile('several-lines')}",
        )


@check
def pasted_lines_are_one_message():
    with session() as terminal:
        terminal.wait_for_prompt()
        terminal.send(PASTE_BEGINS + "first line\rsecond line" + PASTE_ENDS)
        terminal.wait("second line", "what was pasted is not shown")
        terminal.send(ENTER)
        terminal.wait_for_prompt()
        terminal.enter("/save pasted-lines")
        text = modelfile("pasted-lines")
        expect("first line\nsecond line" in text, f"the message is not both lines: {text}")


@check
def parameters_are_set_shown_and_obeyed():
    with session() as terminal:
        said = terminal.enter("/set parameter num_predict 3")
        expect("Set parameter 'num_predict' to '3'" in said, f"it says {said!r}")
        said = terminal.enter("/show parameters")
        expect("Model defined parameters:" in said and "User defined parameters:" in said, f"it shows {said!r}")
        expect(any(line.split() == ["num_predict", "3"] for line in said.splitlines()), f"it shows {said!r}")
        expect("Set 'verbose' mode." in terminal.enter("/set verbose"), "verbose is not set")
        said = terminal.enter(QUESTION)
        expect("eval count:           3 token(s)" in said, f"num_predict 3 is not obeyed: {said!r}")
        expect("Set 'quiet' mode." in terminal.enter("/set quiet"), "quiet is not set")
        expect(
            "Couldn't set parameter" in terminal.enter("/set parameter num_predict many"), "num_predict can be a word"
        )
        expect("Available Parameters:" in terminal.enter("/set parameter"), "parameters are not listed")


@check
def a_system_message_is_set_and_shown():
    with session() as terminal:
        expect("Set system message." in terminal.enter("/set system You speak of boats only."), "it is not set")
        said = terminal.enter("/show system")
        expect("You speak of boats only." in said, f"it shows {said!r}")
        terminal.enter("/save boats")
        expect("SYSTEM You speak of boats only." in modelfile("boats"), f"it is not saved: {modelfile('boats')}")


@check
def other_settings_are_told():
    with session() as terminal:
        for line, told in {
            "/set wordwrap": "Set 'wordwrap' mode.",
            "/set nowordwrap": "Set 'nowordwrap' mode.",
            "/set format json": "Set format to 'json' mode.",
            "/set noformat": "Disabled format.",
            "/set format": "Invalid or missing format. For 'json' mode use '/set format json'",
            "/set nonsense": "Unknown command '/set nonsense'. Type /? for help",
            "/set": "/set parameter ...     Set a parameter",
        }.items():
            said = terminal.enter(line)
            expect(told in said, f"{line} says {said!r}")


@check
def show_tells_what_the_model_is():
    with session() as terminal:
        said = terminal.enter("/show info")
        words = [line.split() for line in said.splitlines()]
        expect(["architecture", "llama"] in words and ["quantization", "Q4_1"] in words, f"info is {said!r}")
        for line, told in {
            "/show modelfile": "FROM ",
            "/show template": "im_start",
            "/show license": "No license was specified for this model.",
            "/show system": "No system message was specified for this model.",
            "/show": "/show info         Show details for this model",
            "/show nonsense": "Unknown command '/show nonsense'. Type /? for help",
        }.items():
            said = terminal.enter(line)
            expect(told in said, f"{line} says {said!r}")


@check
def sessions_are_saved_and_loaded():
    with session() as terminal:
        terminal.enter("My name is Ferdinand.")
        said = terminal.enter("/save ferdinand")
        expect("Created new model 'ferdinand'" in said, f"save says {said!r}")
        expect("MESSAGE user My name is Ferdinand." in modelfile("ferdinand"), f"it saved {modelfile('ferdinand')}")
        said = terminal.enter("/load ferdinand")
        expect("Loading model 'ferdinand'" in said, f"load says {said!r}")
        said = terminal.enter("/load no-such-model")
        expect("Couldn't find model 'no-such-model'" in said, f"loading an unknown model says {said!r}")
        expect(terminal.enter("Say my name.").strip(), "after that, there is no answer any more")
        expect("/load <modelname>" in terminal.enter("/load"), "load does not tell what it takes")
        expect("/save <modelname>" in terminal.enter("/save"), "save does not tell what it takes")


@check
def models_are_listed():
    with session() as terminal:
        said = terminal.enter("/list")
        expect(
            said.split()[:4] == ["NAME", "ID", "SIZE", "MODIFIED"] and f"{BRIEF}:latest" in said, f"it shows {said!r}"
        )


@check
def the_conversation_is_cleared():
    with session() as terminal:
        terminal.enter("My name is Ferdinand.")
        expect("Cleared session context" in terminal.enter("/clear"), "it is not told")
        terminal.enter("/save cleared")
        expect("Ferdinand" not in modelfile("cleared"), f"it still knows: {modelfile('cleared')}")


@check
def help_is_shown():
    with session() as terminal:
        said = terminal.enter("/?")
        for line in ["Available Commands:", "/set", "/show", "/load <model>", "/save <model>", "/clear", "/bye", '"""']:
            expect(line in said, f"help does not speak of {line}: {said!r}")
        expect("Available Commands:" in terminal.enter("/help"), "/help is something else than /?")
        expect("Ctrl + d" in terminal.enter("/? shortcuts"), "shortcuts are not shown")
        expect("/set system <string>" in terminal.enter("/? set"), "/set is not explained")
        said = terminal.enter("/nonsense")
        expect("Unknown command '/nonsense'. Type /? for help" in said, f"an unknown command says {said!r}")


@check
def arrows_bring_back_what_was_typed():
    with session() as terminal:
        terminal.enter("/set wordwrap")
        terminal.enter("/? shortcuts")
        terminal.send(UP)
        terminal.wait(r"^>>> /\? shortcuts$", "arrow up does not bring back the last line")
        terminal.send(UP)
        terminal.wait(r"^>>> /set wordwrap$", "arrow up does not bring back the line before")
        terminal.send(DOWN)
        terminal.wait(lambda: terminal.lines()[-1] == ">>> /? shortcuts", "arrow down does not go forward again")
        terminal.send(CTRL_U + CTRL_D)
        expect(terminal.wait_for_end() == 0, f"Ctrl-D ends with {terminal.status}")
    with session() as terminal:
        terminal.wait_for_prompt()
        terminal.send(UP)
        terminal.wait(r"^>>> /\? shortcuts$", "the next session does not remember the last line")


@check
def without_history_nothing_is_remembered():
    with session(OLLAMA_NOHISTORY="1") as terminal:
        terminal.enter("/set quiet")
        terminal.send(CTRL_D)
        terminal.wait_for_end()
    with session() as terminal:
        terminal.wait_for_prompt()
        terminal.send(UP)
        terminal.wait(r"^>>> /", "there is no history at all")
        expect("quiet" not in terminal.lines()[-1], f"it remembers {terminal.lines()[-1]!r}")


@check
def keys_edit_the_line():
    with session() as terminal:
        terminal.wait_for_prompt()
        terminal.send("wrong" + CTRL_U + "nonsense and" + CTRL_W + LEFT + "X" + CTRL_A + "/")
        terminal.wait(r"^>>> /nonsenseX ?$", "the line is another one")
        terminal.send(ENTER)
        terminal.wait("Unknown command '/nonsenseX'", "another line was entered")


def long_session(**settings):
    """One whose first answer has 400 words."""
    words = " ".join(f"word{number}" for number in range(400))
    return session(*saying(words), rows=60, columns=120, **settings)


def stop_an_answer(terminal):
    terminal.wait_for_prompt()
    terminal.send("Say it." + ENTER)
    terminal.wait("word3", "the answer does not begin", 60)
    terminal.send(CTRL_C)
    terminal.wait_for_prompt(5)
    expect("word399" not in terminal.text(), "the answer came to its end")
    wait_until(lambda: requests_running() == 0, 5, "the server goes on computing for nobody")


@check
def ctrl_c_stops_the_answer_and_not_the_program():
    with long_session() as terminal:
        stop_an_answer(terminal)
        said = terminal.enter("/set quiet")
        expect("Set 'quiet' mode." in said, f"afterwards it says {said!r}")
        terminal.send(CTRL_C)
        terminal.wait("Use Ctrl \\+ d or /bye to exit.", "Ctrl-C at the prompt says nothing")
        terminal.wait_for_prompt()
        terminal.send("half a line" + CTRL_C)
        terminal.wait_for_prompt()


@check
def a_terminal_that_can_only_print_gets_nothing_but_text():
    with long_session(TERM="dumb") as terminal:
        stop_an_answer(terminal)
        terminal.send(CTRL_C + "/set noformat" + ENTER)
        terminal.wait("Disabled format.", "Ctrl-C at the prompt ends more than the line")
        terminal.enter("/set parameter num_predict 12")
        said = terminal.enter(QUESTION)
        expect(said.strip(), f"after a Ctrl-C at the prompt, the answer is {said!r}")
        terminal.send(CTRL_D)
        expect(terminal.wait_for_end() == 0, f"Ctrl-D ends with {terminal.status}")
        expect("\x1b" not in terminal.received, f"it moves the cursor or colours text: {terminal.received!r}")


@check
def ctrl_d_and_bye_leave():
    for keys in [CTRL_D, "/bye" + ENTER, "/exit" + ENTER]:
        with session() as terminal:
            terminal.wait_for_prompt()
            terminal.send(keys)
            expect(terminal.wait_for_end() == 0, f"{keys!r} ends with {terminal.status}")


@check
def wide_signs_wrap_within_the_width():
    text = "你好世界，今天天气很好。" * 3 + "👍" * 12
    with session(*saying(text), columns=41) as terminal:
        said = terminal.enter("Say it.").strip().splitlines()
        expect("".join(said) == f'"{text}"', f"it shows {said}")
        for line in said:
            # Marks that may not begin a line find room in the margin.
            expect(wcswidth(line) < 41, f"{line!r} is {wcswidth(line)} columns wide")
        expect(wcswidth(said[0]) <= 41 - MARGIN + 2, f"the first line is {wcswidth(said[0])} columns wide")


@check
def words_stay_whole():
    text = "Marvellous mountains measure many magnificent miles " * 2
    with session(*saying(text.strip()), columns=40) as terminal:
        said = terminal.enter("Say it.").strip().splitlines()
        expect(" ".join(line.strip() for line in said) == f'"{text.strip()}"', f"words are broken or lost: {said}")
        expect(all(len(line) <= 40 - MARGIN for line in said), f"a line is too long: {said}")


@check
def a_server_that_is_gone_is_told():
    address = f"127.0.0.1:{free_port()}"
    variables = {"OLLAMA_HOST": address}
    server = subprocess.Popen(
        ["ollama", "serve"], env={**os.environ, **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(1)
        with session(**variables) as terminal:
            terminal.wait_for_prompt()
            server.kill()
            server.wait()
            terminal.send(QUESTION + ENTER)
            terminal.wait(r"(?i)(error|server|connect)", "nothing is said", 10)
    finally:
        server.kill()
        server.wait()


run()
