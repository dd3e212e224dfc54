//! Go templates that say what the template of a GGUF file says, found out by rendering both.
//!
//! A file's own template is written in Jinja, and stays what it is. Where it does nothing that one of the
//! formats here does not do as well, the model gets this one besides, which Ollama and its clients can read.

use llamakit::chat::{ChatTemplate, Conversation, Message, Tool};
use serde_json::json;

use crate::error::Result;
use crate::store::manifest::media;

use super::Work;
use super::layers::Made;
use super::source;

/// A format of prompts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Template {
    /// What Ollama calls it.
    pub(super) name: &'static str,
    /// The template in Go's language.
    pub(super) source: &'static str,
    /// Texts that end an answer.
    pub(super) stop: &'static [&'static str],
}

const TEMPLATES: [Template; 7] = [
    Template {
        name: "chatml",
        source: "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}\
            <|im_start|>assistant\n",
        stop: &["<|im_start|>", "<|im_end|>"],
    },
    Template {
        name: "llama3-instruct",
        source: "{{ range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n\
            {{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n",
        stop: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    },
    Template {
        name: "gemma-instruct",
        source: "{{ $first := \"\" }}{{ range .Messages }}\
            {{ if eq .Role \"system\" }}{{ $first = printf \"%s\\n\\n\" .Content }}\
            {{ else if eq .Role \"user\" }}<start_of_turn>user\n{{ $first }}{{ .Content }}<end_of_turn>\n\
            {{ $first = \"\" }}\
            {{ else }}<start_of_turn>model\n{{ .Content }}<end_of_turn>\n{{ end }}{{ end }}\
            <start_of_turn>model\n",
        stop: &["<start_of_turn>", "<end_of_turn>"],
    },
    Template {
        name: "phi-3",
        source: "{{ range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n",
        stop: &["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"],
    },
    Template {
        name: "zephyr",
        source: "{{ range .Messages }}<|{{ .Role }}|>\n{{ .Content }}</s>\n{{ end }}<|assistant|>\n",
        stop: &["<|system|>", "</s>", "<|user|>", "<|assistant|>"],
    },
    Template {
        name: "openchat",
        source: "{{ range .Messages }}GPT4 Correct \
            {{ if eq .Role \"user\" }}User{{ else if eq .Role \"system\" }}System{{ else }}Assistant{{ end }}: \
            {{ .Content }}<|end_of_turn|>{{ end }}GPT4 Correct Assistant:",
        stop: &["<|end_of_turn|>"],
    },
    Template {
        name: "mistral-instruct",
        source: "{{ $first := \"\" }}{{ range .Messages }}\
            {{ if eq .Role \"system\" }}{{ $first = printf \"%s\\n\\n\" .Content }}\
            {{ else if eq .Role \"user\" }}[INST] {{ $first }}{{ .Content }} [/INST]{{ $first = \"\" }}\
            {{ else }} {{ .Content }}</s>{{ end }}{{ end }}",
        stop: &["[INST]", "[/INST]"],
    },
];

/// The format of a model's template, if it is one of these and no more.
pub(super) fn template(work: Work<'_>, model: &Made) -> Result<Option<Template>> {
    debug_assert_eq!(model.layer.media_type, media::MODEL);
    let file = source::open_layer(work.store, &model.layer)?;
    if file.get("tokenizer.chat_template").is_none() {
        return Ok(None);
    }
    // Whether it is one that can be rendered is for the first conversation to say.
    let Ok(theirs) = ChatTemplate::from_gguf(&file) else {
        return Ok(None);
    };
    let bos = special(&file, "tokenizer.ggml.bos_token_id");
    Ok(find(&theirs, bos.as_deref().unwrap_or_default()))
}

/// The text of a special token.
fn special(file: &llamakit::gguf::File, key: &str) -> Option<String> {
    use llamakit::gguf::ValueRef;
    let id = usize::try_from(file.get(key)?.as_u64()?).ok()?;
    let ValueRef::Array(tokens) = file.get("tokenizer.ggml.tokens")? else {
        return None;
    };
    let token = tokens.strings()?.nth(id)?;
    Some(String::from_utf8_lossy(token).into_owned())
}

fn find(theirs: &ChatTemplate, bos: &str) -> Option<Template> {
    let able = theirs.capabilities().ok()?;
    if able.tools || able.tool_calls || able.thinking_switch || able.thinking_levels {
        return None;
    }
    let probes = probes();
    let expected: Vec<String> = probes
        .iter()
        .map(|probe| {
            let text = text(theirs, probe)?;
            // The tokenizer writes it, whatever the template.
            Some(text.strip_prefix(bos).unwrap_or(&text).to_owned())
        })
        .collect::<Option<_>>()?;
    TEMPLATES.into_iter().find(|template| {
        let ours = ChatTemplate::go(template.source);
        ours.is_ok_and(|ours| {
            let mut pairs = probes.iter().zip(&expected);
            pairs.all(|(probe, expected)| text(&ours, probe).as_ref() == Some(expected))
        })
    })
}

fn text(template: &ChatTemplate, conversation: &Conversation) -> Option<String> {
    let segments = template.render(conversation).ok()?;
    Some(segments.into_iter().map(|segment| segment.text).collect())
}

/// Conversations with everything that the formats know, and with a tool that they do not.
fn probes() -> [Conversation; 4] {
    let talk = || {
        vec![
            Message::user("One two?"),
            Message::assistant("Three."),
            Message::user("Four <five>?"),
        ]
    };
    let with_system = || {
        let mut messages = vec![Message::system("Six & seven.")];
        messages.extend(talk());
        messages
    };
    let parameters = json!({"type": "object", "properties": {}});
    [
        Conversation::new(vec![Message::user("One two?")]),
        Conversation::new(talk()),
        Conversation::new(with_system()),
        Conversation::new(talk()).tools([Tool::function("eight", "Nine.", parameters)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamakit::chat::SpecialTexts;

    fn name(source: &str) -> Option<&'static str> {
        let mut texts = SpecialTexts::default();
        texts.bos = Some("<s>".to_owned());
        texts.eos = Some("</s>".to_owned());
        let theirs = ChatTemplate::jinja(source, &texts).unwrap();
        find(&theirs, "<s>").map(|template| template.name)
    }

    const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}\
        {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    #[test]
    fn formats_are_told_by_what_they_write() {
        for (expected, source) in [
            ("chatml", CHATML.to_owned()),
            ("chatml", format!("{{{{ bos_token }}}}{CHATML}")),
            (
                "llama3-instruct",
                "{% for m in messages %}{% set text = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' \
                 + m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set text = bos_token + text %}\
                 {% endif %}{{ text }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
                    .to_owned(),
            ),
            (
                "gemma-instruct",
                "{{ bos_token }}{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}\
                 {% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}\
                 {% for m in rest %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' \
                 + (first if loop.first else '') + m.content | trim + '<end_of_turn>\n' }}{% endfor %}\
                 {% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
                    .to_owned(),
            ),
            (
                "phi-3",
                "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}\
                 {{ '<|assistant|>\n' }}"
                    .to_owned(),
            ),
            (
                "zephyr",
                "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}\
                 {{ '<|assistant|>\n' }}"
                    .to_owned(),
            ),
            (
                "openchat",
                "{{ bos_token }}{% for m in messages %}{{ 'GPT4 Correct ' + m.role.title() + ': ' + m.content \
                 + '<|end_of_turn|>' }}{% endfor %}{{ 'GPT4 Correct Assistant:' }}"
                    .to_owned(),
            ),
            (
                "mistral-instruct",
                "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content \
                 + ' [/INST]' }}{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}\
                 {% else %}{{ raise_exception('roles!') }}{% endif %}{% endfor %}"
                    .to_owned(),
            ),
        ] {
            assert_eq!(name(&source), Some(expected), "{source}");
        }
    }

    #[test]
    fn a_template_that_does_more_is_none_of_them() {
        for source in [
            "{{ messages[0].content }}".to_owned(),
            // A system message of its own, as SmolLM2's.
            format!(
                "{{% if messages[0].role != 'system' %}}<|im_start|>system\nHi<|im_end|>\n{{% endif %}}{CHATML}"
            ),
            format!("{{% if tools %}}{{{{ tools | tojson }}}}{{% endif %}}{CHATML}"),
            format!(
                "{CHATML}{{% if enable_thinking is defined and not enable_thinking %}}<think></think>{{% endif %}}"
            ),
            "{{ raise_exception('never') }}".to_owned(),
        ] {
            assert_eq!(name(&source), None, "{source}");
        }
    }

    #[test]
    fn every_template_is_one_and_names_its_stops() {
        for template in TEMPLATES {
            let ours = ChatTemplate::go(template.source).unwrap();
            let written = text(&ours, &probes()[2]).unwrap();
            assert!(
                template.stop.iter().any(|stop| written.contains(stop)),
                "{}",
                template.name
            );
        }
    }
}
