"""Records what transformers renders: python jinja.py FOLDER_OF_WHEELS

Needs transformers and jinja2 in the versions below, and the wheels that templates.json names, as
`pip download --no-deps` leaves them. Writes ../golden/jinja/expected/NAME.json for every template, and
snippets.json for every line of snippets.txt; the last lines of that are one.
"""

import copy
import datetime
import hashlib
import json
import pathlib
import re
import sys
import zipfile

import jinja2
import transformers
from transformers.utils import chat_template_utils as reference

VERSIONS = {"transformers": "5.24.0", "jinja2": "3.1.6"}
GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "jinja"
# 2025-03-09 14:05:06 UTC, a Sunday.
NOW = datetime.datetime(2025, 3, 9, 14, 5, 6)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


reference.datetime = Clock


def variables(thinking, source):
    """How each family is told whether and how much to think."""
    if thinking is None:
        return {}
    on = thinking != "off"
    level = thinking if thinking in ("low", "high") else None
    result = {name: on for name in ("enable_thinking", "thinking", "reasoning", "enable_reasoning")}
    result["thinking_option"] = "on" if on else "off"
    result["thinking_mode"] = "thinking" if on else "chat"
    if level:
        result["reasoning_effort"] = level
    elif not on and re.search(r"""['"]none['"]""", source):
        result["reasoning_effort"] = "none"
    budget = {"off": 0, "low": 1024, "high": 16384}.get(thinking)
    if budget is not None:
        result["thinking_budget"] = budget
    return result


def message(said, shape):
    result = {"role": said["role"], "content": said["content"]}
    if "typed" in shape:
        result["content"] = [{"type": "text", "text": said["content"]}]
    if "thinking" in said:
        result["reasoning_content"] = said["thinking"]
    if "tool_calls" in said:
        result["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {
                    "name": call["name"],
                    "arguments": json.dumps(call["arguments"], ensure_ascii=False)
                    if "text" in shape
                    else call["arguments"],
                },
            }
            for call in said["tool_calls"]
        ]
    if "tool_name" in said:
        result["name"] = said["tool_name"]
    if "tool_call_id" in said:
        result["tool_call_id"] = said["tool_call_id"]
    return result


def merged(messages):
    """System messages at the beginning become a part of what the user says first."""
    count = 0
    while count < len(messages) and messages[count]["role"] in ("system", "developer"):
        count += 1
    if count == 0:
        return messages
    said = "\n\n".join(system["content"] for system in messages[:count])
    rest = copy.deepcopy(messages[count:])
    if rest and rest[0]["role"] == "user":
        rest[0]["content"] = said + "\n\n" + rest[0]["content"]
    else:
        rest.insert(0, {"role": "user", "content": said})
    return rest


def render(template, conversation, shape):
    messages = conversation["messages"]
    if "merged" in shape:
        messages = merged(messages)
    prefill = conversation.get("continue_last_message", False)
    tools = [TOOLS[name] if isinstance(name, str) else name for name in conversation.get("tools", [])]
    arguments = dict(template["special"])
    arguments.update(variables(conversation.get("thinking"), template["source"]))
    texts, _ = reference.render_jinja_template(
        conversations=[[message(said, shape) for said in messages]],
        tools=copy.deepcopy(tools) or None,
        documents=copy.deepcopy(conversation.get("documents")),
        chat_template=template["source"],
        continue_final_message=prefill,
        add_generation_prompt=conversation.get("add_generation_prompt", True) and not prefill,
        **arguments,
    )
    return texts[0]


def attempt(template, conversation, shape):
    try:
        return {"text": render(template, conversation, shape)}
    except jinja2.exceptions.TemplateError as error:
        # What is raised by the template itself has this very class.
        own = type(error) is jinja2.exceptions.TemplateError
        return {"refused" if own else "failed": str(error)[:200]}
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        kind = "refused" if "continue_final_message" in str(error) else "failed"
        return {kind: str(error)[:200]}


def shape_of(template):
    """How the template wants its messages."""
    says = lambda conversation, shape, wanted: wanted in attempt(template, conversation, shape).get("text", "")
    user = {"messages": [{"role": "user", "content": "Zq7said"}]}
    shape = set()
    if not says(user, shape, "Zq7said") and says(user, {"typed"}, "Zq7said"):
        shape = {"typed"}
    system = {"messages": [{"role": "system", "content": "Zq7told"}] + user["messages"]}
    unmerged = set(shape)
    if not says(system, shape, "Zq7told"):
        shape = shape | {"merged"}
    call = {"id": "zq7call01", "name": "zq7_tool", "arguments": {"zq7_name": "zq7_value"}}
    parameters = {
        "type": "object",
        "properties": {"zq7_name": {"type": "string", "description": "A name."}},
        "required": ["zq7_name"],
    }
    tool = {"name": "zq7_tool", "description": "Finds something.", "parameters": parameters}
    called = {
        "tools": [{"type": "function", "function": tool}],
        "messages": user["messages"]
        + [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "42", "tool_name": "zq7_tool", "tool_call_id": "zq7call01"},
            {"role": "assistant", "content": "So."},
            {"role": "user", "content": "And?"},
        ],
    }
    text = attempt(template, called, unmerged).get("text", "")
    if "zq7_name" not in text or "zq7_value" not in text or "{'zq7_name'" in text:
        text = attempt(template, called, unmerged | {"text"}).get("text", "")
        if "zq7_value" in text and '\\"zq7_name\\"' not in text:
            shape = shape | {"text"}
    return shape


def snippets():
    """What small templates are rendered to, without any messages."""
    lines = (GOLDEN / "snippets.txt").read_text().split("\n")
    last = next(at for at, line in enumerate(lines) if line.startswith("   "))
    sources = lines[:last] + ["\n".join(lines[last:])]
    result = {}
    for source in sources:
        try:
            result[source] = {"text": reference._compile_jinja_template(source).render(messages=[])}
        except Exception as error:
            result[source] = {"failed": f"{type(error).__name__}: {error}"[:200]}
    return result


def main(wheels):
    for name, version in VERSIONS.items():
        assert sys.modules[name].__version__ == version, f"{name} must be {version}"
    write = lambda path, data: path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n")
    write(GOLDEN / "snippets.json", snippets())
    folder = GOLDEN / "expected"
    folder.mkdir(exist_ok=True)
    for template in json.loads((GOLDEN / "templates.json").read_text()):
        wheel = f"{template['package']}-{template['version']}-py3-none-any.whl"
        data = zipfile.ZipFile(wheels / wheel).read(template["entry"])
        assert hashlib.sha256(data).hexdigest() == template["sha256"], template["name"]
        template["source"] = data.decode()
        shape = shape_of(template)
        expected = {}
        for conversation in CONVERSATIONS:
            exact = attempt(template, conversation, set())
            adapted = attempt(template, conversation, shape)
            expected[conversation["name"]] = {"exact": exact}
            if adapted != exact:
                expected[conversation["name"]]["adapted"] = adapted
        out = {"shape": sorted(shape), "expected": expected}
        write(folder / f"{template['name']}.json", out)


if __name__ == "__main__":
    CONVERSATIONS = json.loads((GOLDEN / "conversations.json").read_text())
    TOOLS = json.loads((GOLDEN / "tools.json").read_text())
    main(pathlib.Path(sys.argv[1]))
