//! Formats of models whose files have no template, told by the control tokens of their vocabulary.

use crate::error::{Error, ErrorKind};
use crate::gguf::File;

use super::{Result, SpecialTexts, gguf};

/// A format, and what tells it.
struct Format {
    name: &'static str,
    /// Control tokens that its vocabulary has.
    has: &'static [&'static str],
    /// Control tokens of formats that it must not be taken for.
    lacks: &'static [&'static str],
    source: &'static str,
}

const FORMATS: &[Format] = &[
    Format {
        name: "ChatML",
        has: &["<|im_start|>", "<|im_end|>"],
        lacks: &["<|im_sep|>", "<|start_header_id|>"],
        source: "{% for message in messages %}\
            {{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    },
    Format {
        name: "Phi-4",
        has: &["<|im_start|>", "<|im_sep|>", "<|im_end|>"],
        lacks: &[],
        source: "{% for message in messages %}\
            {{ '<|im_start|>' + message.role + '<|im_sep|>' + message.content + '<|im_end|>' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}",
    },
    Format {
        name: "Llama 3",
        has: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        lacks: &["<|im_start|>"],
        source: "{{ bos_token }}{% for message in messages %}\
            {{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content|trim + '<|eot_id|>' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    },
    Format {
        name: "Llama 4",
        has: &["<|header_start|>", "<|header_end|>", "<|eot|>"],
        lacks: &["<|im_start|>"],
        source: "{{ bos_token }}{% for message in messages %}\
            {{ '<|header_start|>' + message.role + '<|header_end|>\\n\\n' + message.content|trim + '<|eot|>' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|header_start|>assistant<|header_end|>\\n\\n' }}{% endif %}",
    },
    Format {
        name: "Gemma",
        has: &["<start_of_turn>", "<end_of_turn>"],
        lacks: &["<|im_start|>"],
        source: "{{ bos_token }}\
            {% for message in messages if message.role != 'system' %}\
            {{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}\
            {% if loop.first %}{% for system in messages if system.role == 'system' %}\
            {{ system.content + '\\n\\n' }}{% endfor %}{% endif %}\
            {{ message.content|trim + '<end_of_turn>\\n' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
    },
    Format {
        name: "Phi-3",
        has: &["<|user|>", "<|assistant|>", "<|end|>"],
        lacks: &["<|im_start|>", "<|channel|>", "[gMASK]"],
        source: "{% for message in messages %}\
            {{ '<|' + message.role + '|>\\n' + message.content + '<|end|>\\n' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
    },
    Format {
        name: "GLM-4",
        has: &["[gMASK]", "<sop>", "<|user|>", "<|assistant|>"],
        lacks: &["<|im_start|>"],
        source: "[gMASK]<sop>{% for message in messages %}\
            {{ '<|' + message.role + '|>\\n' + message.content }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
    },
    Format {
        name: "Granite 3",
        has: &["<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"],
        lacks: &["<|im_start|>"],
        source: "{% for message in messages %}\
            {{ '<|start_of_role|>' + message.role + '<|end_of_role|>' + message.content + '<|end_of_text|>\\n' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}",
    },
    Format {
        name: "Command R",
        has: &[
            "<|START_OF_TURN_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
        ],
        lacks: &["<|START_RESPONSE|>"],
        source: "{{ bos_token }}{% for message in messages %}\
            {{ '<|START_OF_TURN_TOKEN|>' + {'system': '<|SYSTEM_TOKEN|>', 'user': '<|USER_TOKEN|>', \
            'assistant': '<|CHATBOT_TOKEN|>'}[message.role] + message.content|trim + '<|END_OF_TURN_TOKEN|>' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}",
    },
    Format {
        name: "Mistral 7",
        has: &["[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"],
        lacks: &["<|im_start|>"],
        source: "{{ bos_token }}{% for message in messages %}\
            {% if message.role == 'system' %}{{ '[SYSTEM_PROMPT]' + message.content + '[/SYSTEM_PROMPT]' }}\
            {% elif message.role == 'assistant' %}{{ message.content + eos_token }}\
            {% else %}{{ '[INST]' + message.content + '[/INST]' }}{% endif %}{% endfor %}",
    },
];

/// The source for this file.
pub(super) fn source(file: &File, texts: &SpecialTexts) -> Result<&'static str> {
    let has = |token: &&'static str| texts.control.iter().any(|control| control == token);
    let fits = |format: &&Format| format.has.iter().all(has) && !format.lacks.iter().any(has);
    let found: Vec<&Format> = FORMATS.iter().filter(fits).collect();
    let cause = match found[..] {
        [format] => return Ok(format.source),
        [] => "no control tokens of a chat format that is known".to_owned(),
        _ => {
            let names: Vec<&str> = found.iter().map(|format| format.name).collect();
            format!(
                "control tokens of several chat formats: {}",
                names.join(", ")
            )
        }
    };
    let error = Error::new(
        ErrorKind::Unsupported,
        format!("the file has no chat template, and its vocabulary has {cause}"),
    );
    Err(gguf::locate(error, file))
}
