//! Clients of others, frameworks, a tutorial and a terminal: each a script in `xtask/conformance` that asks a server.

use super::serving::Server;
use super::{Context, Problem, environment, registry, tool};

/// The clients for Python, unchanged: Ollama's own, OpenAI's and Anthropic's.
pub(super) fn python(context: &Context) -> Result<(), Problem> {
    let program = tool(&["docker-registry", "registry"], "docker-registry")?;
    let python = environment::python(context)?;
    let (_registry, address) = registry::start(&program, &context.work)?;
    let server = Server::start(context)?;
    let scripts = [
        "python_ollama.py",
        "python_ollama_async.py",
        "python_models.py",
        "python_openai.py",
        "python_openai_async.py",
        "python_anthropic.py",
    ];
    all(&scripts, |script| {
        let mut command = server.command(&python);
        command.env("CONFORMANCE_REGISTRY", &address);
        command.arg(context.scripts.join(script));
        server.run(command, script)
    })
}

/// Ollama's client for JavaScript.
pub(super) fn node(context: &Context) -> Result<(), Problem> {
    let node = tool(&["node", "nodejs"], "nodejs")?;
    // Modules are looked for beside the script that imports them.
    let prefix = environment::node(context)?;
    let server = Server::start(context)?;
    let scripts = ["node_ollama.mjs", "node_models.mjs"];
    environment::copy(
        &context.scripts,
        &prefix,
        &[&scripts[..], &["common.mjs"]].concat(),
    )?;
    all(&scripts, |script| {
        let mut command = server.command(&node);
        command.arg(prefix.join(script));
        server.run(command, script)
    })
}

/// Programs are written on top of LangChain and LlamaIndex, which bring ways of their own to ask.
pub(super) fn frameworks(context: &Context) -> Result<(), Problem> {
    let python = environment::python(context)?;
    let server = Server::start(context)?;
    let scripts = ["frameworks_langchain.py", "frameworks_llamaindex.py"];
    all(&scripts, |script| {
        let mut command = server.command(&python);
        command.arg(context.scripts.join(script));
        server.run(command, script)
    })
}

/// What a newcomer types, and the runner that a server starts.
pub(super) fn tutorial(context: &Context) -> Result<(), Problem> {
    tool(&["bash"], "bash")?;
    tool(&["curl"], "curl")?;
    let python = environment::python(context)?;
    let server = Server::start(context)?;
    all(&["tutorial.py", "runner.py"], |script| {
        let mut command = server.command(&python);
        command.arg(context.scripts.join(script));
        server.run(command, script)
    })
}

/// `ollama run` in a terminal, screen by screen.
pub(super) fn screen(context: &Context) -> Result<(), Problem> {
    let python = environment::python(context)?;
    let server = Server::start(context)?;
    let script = "screen.py";
    let mut command = server.command(&python);
    command.arg(context.scripts.join(script));
    server.run(command, script).map_err(Problem::Failed)
}

/// Runs all of them, and says which failed.
fn all(scripts: &[&str], run: impl Fn(&str) -> Result<(), String>) -> Result<(), Problem> {
    let bad: Vec<String> = scripts
        .iter()
        .filter_map(|script| run(script).err())
        .collect();
    match bad.is_empty() {
        true => Ok(()),
        false => Err(Problem::Failed(bad.join("\n"))),
    }
}
