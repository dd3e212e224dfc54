//! The environment variables, as help texts list them.

/// An environment variable and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// One line on what it sets.
    pub description: &'static str,
}

const fn v(name: &'static str, description: &'static str) -> Variable {
    Variable { name, description }
}

/// All variables, in the order in which `ollama serve --help` lists them.
pub const VARIABLES: &[Variable] = &[
    v("OLLAMA_DEBUG", "Log more (1), also prompts and answers (2)"),
    v(
        "OLLAMA_HOST",
        "Address of the server (default 127.0.0.1:11434)",
    ),
    v(
        "OLLAMA_CONTEXT_LENGTH",
        "Context length unless a model or request says otherwise",
    ),
    v(
        "OLLAMA_KEEP_ALIVE",
        "How long models stay loaded (default \"5m\")",
    ),
    v(
        "OLLAMA_LOAD_TIMEOUT",
        "How long loading a model may stand still (default \"5m\")",
    ),
    v(
        "OLLAMA_MAX_LOADED_MODELS",
        "Most models loaded at once (default: as many as fit)",
    ),
    v(
        "OLLAMA_MAX_TRANSFER_STREAMS",
        "Most connections of a pull or push (default 4)",
    ),
    v(
        "OLLAMA_MAX_TRANSFER_RATE",
        "Most bytes per second of all pulls and pushes, such as 10M",
    ),
    v(
        "OLLAMA_MEMORY_BUDGET",
        "Most memory of all loaded models, such as 12GiB (default: 4/5 of what is free)",
    ),
    v("OLLAMA_MAX_QUEUE", "Most requests that wait (default 512)"),
    v(
        "OLLAMA_MODELS",
        "Directory of the models (default ~/.ollama/models)",
    ),
    v(
        "OLLAMA_NUM_PARALLEL",
        "Requests that one model answers at once",
    ),
    v("OLLAMA_NUM_GPU", "Layers on the GPU; 0 for none"),
    v("OLLAMA_NOHISTORY", "Keep no history of prompts"),
    v("OLLAMA_NOPRUNE", "Keep blobs that no model uses"),
    v(
        "OLLAMA_ORIGINS",
        "Further origins that web pages may come from, separated by commas",
    ),
    v(
        "OLLAMA_ALLOWED_HOSTS",
        "Further names of the server (name, *.name, or * for all), separated by commas",
    ),
    v("OLLAMA_SCHED_SPREAD", "Spread every model over all GPUs"),
    v(
        "OLLAMA_FLASH_ATTENTION",
        "Flash attention on (1) or off (0)",
    ),
    v(
        "OLLAMA_KV_CACHE_TYPE",
        "Type of the cache of keys and values (default: f16)",
    ),
    v(
        "OLLAMA_DETERMINISTIC",
        "Same answer for the same seed whatever else runs, slower when several do",
    ),
    v("OLLAMA_LLM_LIBRARY", "Which compute library to use"),
    v(
        "OLLAMA_GO_TEMPLATE",
        "Go templates of models on (1) or off (0)",
    ),
    v(
        "OLLAMA_GPU_OVERHEAD",
        "Bytes of each GPU's memory to leave free",
    ),
    v("OLLAMA_EDITOR", "Editor for prompts (Ctrl+G)"),
    v(
        "OLLAMA_MIRRORS",
        "Registries to ask first, [HOST=]URL separated by commas",
    ),
    v(
        "OLLAMA_PULL_HOSTS",
        "Hosts that are not public from which clients may pull files by URL",
    ),
    v("OLLAMA_OFFLINE", "Make no connection to other machines"),
    v("OLLAMA_API_KEYS", "File of hashed API keys"),
    v(
        "OLLAMA_INSECURE_MANAGE",
        "Let other machines manage models without a key",
    ),
    v(
        "OLLAMA_STRICT",
        "Refuse requests with fields or options that mean nothing, in place of a warning",
    ),
    v(
        "OLLAMA_NO_CLOUD",
        "Of no effect: this program uses no cloud",
    ),
    v(
        "OLLAMA_IGPU_ENABLE",
        "Of no effect: GPUs are used where they are built in",
    ),
    v(
        "LLAMA_ARG_FIT",
        "Of no effect: memory is planned before a model loads",
    ),
    v("LLAMA_ARG_FIT_TARGET", "Of no effect, likewise"),
    v("HTTP_PROXY", "Proxy for http; also http_proxy"),
    v("HTTPS_PROXY", "Proxy for https; also https_proxy"),
    v(
        "NO_PROXY",
        "Hosts that are reached without a proxy; also no_proxy",
    ),
];

/// The variable of this name.
#[must_use]
pub fn variable(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}
