//! Which format a template's source means.

use llamakit::chat::{AnswerFormat, CallFormat, ThinkingTags};

fn tags(format: &AnswerFormat) -> Option<(&str, &str)> {
    format
        .thinking_tags()
        .first()
        .map(|tags| (tags.open.as_str(), tags.close.as_str()))
}

#[test]
fn the_source_of_a_template_says_how_calls_are_written() {
    use CallFormat::*;
    let tagged = |open: &str, close: &str| CallFormat::tagged(open, close);
    for (source, format) in [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", None),
        ("{{ .System }}{{ .Prompt }}", None),
        (
            "'<tool_call>\\n{\"name\": \"' + tool_call.name + '\", \"arguments\": '",
            Hermes,
        ),
        (
            "<tool_call>\n{\"name\": <function-name>, \"arguments\": <args>}\n</tool_call>",
            Hermes,
        ),
        (
            "<tool_call>\n<function=example>\n<parameter=a>\n",
            Qwen3Coder,
        ),
        ("<tool_call>{{ tc.name }}\n<arg_key>{{ k }}</arg_key>", Glm),
        ("<minimax:tool_call>\n<invoke name=\"", MiniMax),
        ("<seed:tool_call>\n<function=f>\n<parameter=a>", Seed),
        (
            "'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + type + '<｜tool▁sep｜>' + '```json'",
            DeepSeekV3,
        ),
        (
            "'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + name + '<｜tool▁sep｜>' + arguments",
            DeepSeekV31,
        ),
        (
            "{% set dsml_token = \"｜DSML｜\" %}<{{ dsml_token }}function_calls>",
            DeepSeekV32,
        ),
        ("<|tool_calls_section_begin|><|tool_call_begin|>", Kimi),
        ("[AVAILABLE_TOOLS][/AVAILABLE_TOOLS][TOOL_CALLS][", Mistral),
        ("[TOOL_CALLS]{{ name }}[ARGS]{{ arguments }}", MistralArgs),
        (
            "Action: ```json\n[{\"tool_name\": title of the tool}]```",
            CommandR,
        ),
        (
            "<|START_THINKING|>{{ plan }}<|END_THINKING|><|START_ACTION|>[",
            CommandR7b,
        ),
        (
            "<|start_of_role|>assistant<|end_of_role|><|tool_call|>{{ calls }}",
            Granite,
        ),
        (
            "<|tool|>{{ tools }}<|/tool|> <|tool_call|>{{ c }}<|/tool_call|>",
            Functools,
        ),
        ("functools[{{ calls }}]", Functools),
        (
            "<|start_header_id|>ipython {\"name\": function name, \"parameters\": dictionary}",
            Llama,
        ),
        ("{{- '<|python_tag|>' + tool_call.name + '.call(' }}", Llama),
        (
            "[func_name1(params_name1=params_value1), func_name2(params)]",
            LlamaPythonic,
        ),
        ("<|python_start|>{{ calls }}<|python_end|>", LlamaPythonic),
        (
            "<function={{ name }}>{{ arguments }}</function>",
            Functionary,
        ),
        ("<|tools_prefix|>[{{ calls }}]<|tools_suffix|>", Apertus),
        ("<|tool_call_start|>[{{ calls }}]<|tool_call_end|>", Lfm2),
        ("<|tool_list_start|>{{ tools }}<|tool_list_end|>", Lfm2),
        ("<function_calls>{{ calls }}</function_calls>", Olmo),
        ("<|tool_call>call:{{ name }}{{ '{' }}<tool_call|>", Gemma4),
        ("<start_function_call>call:", FunctionGemma),
        ("<|start|>assistant<|channel|>final<|message|>", Harmony),
        (
            "<TOOLCALL>[{{ calls }}]</TOOLCALL>",
            tagged("<TOOLCALL>", "</TOOLCALL>"),
        ),
        (
            "<tool_calls>[{{ calls }}]</tool_calls>",
            tagged("<tool_calls>", "</tool_calls>"),
        ),
        ("{% if tools %}{{ tools | tojson }}{% endif %}", Json),
        (
            "{{ if .Tools }}{{ .Tools }}{{ end }}{{ range .ToolCalls }}{\"name\": \"{{ .Function.Name }}\"}{{ end }}",
            Json,
        ),
        (
            "{{ if .ToolCalls }}{{ range .ToolCalls }}[CALL]{\"name\": \"{{ .Function.Name }}\"}[/CALL]{{ end }}",
            tagged("[CALL]", "[/CALL]"),
        ),
        (
            "{{- if .ToolCalls }}<tool_call>\n{{ range .ToolCalls }}{\"name\": \"{{ .Function.Name }}\"}{{ end }}</tool_call>",
            Hermes,
        ),
    ] {
        assert_eq!(AnswerFormat::detect(source).calls(), &format, "{source}");
    }
}

#[test]
fn the_source_of_a_template_says_what_is_around_thoughts() {
    for (source, expected) in [
        ("{{ content }}", None),
        (
            "{{ content.split('</think>')[-1] }}",
            Some(("<think>", "</think>")),
        ),
        (
            "[THINK]{{ thinking }}[/THINK]",
            Some(("[THINK]", "[/THINK]")),
        ),
        (
            "<|START_THINKING|><|END_THINKING|>",
            Some(("<|START_THINKING|>", "<|END_THINKING|>")),
        ),
        (
            "<seed:think></seed:think>",
            Some(("<seed:think>", "</seed:think>")),
        ),
        ("<thinking></thinking>", Some(("<thinking>", "</thinking>"))),
        (
            "<reasoning></reasoning>",
            Some(("<reasoning>", "</reasoning>")),
        ),
        (
            "<|channel>thought<channel|>",
            Some(("<|channel>thought", "<channel|>")),
        ),
        (
            "{{ if and .Thinking $last }}<musing>\n{{ .Thinking }}\n</musing>{{ end }}",
            Some(("<musing>", "</musing>")),
        ),
        (
            "<|start|>assistant<|channel|>analysis<|message|></think>",
            None,
        ),
    ] {
        let format = AnswerFormat::detect(source);
        assert_eq!(tags(&format), expected, "{source}");
    }
}

#[test]
fn the_caller_can_say_otherwise() {
    let format = AnswerFormat::detect("<tool_call></think>").thinking([]);
    assert_eq!(tags(&format), None);
    let format = format.thinking([ThinkingTags::new("<a>", "</a>")]);
    assert_eq!(tags(&format), Some(("<a>", "</a>")));
}
