//! What `ollama pull` shows: a script looks at it in a terminal.

use std::process::{Command, Stdio};

use super::{Context, Problem, environment, registry, tool};

pub(super) fn check(context: &Context) -> Result<(), Problem> {
    let program = tool(&["docker-registry", "registry"], "docker-registry")?;
    let python = environment::python(context)?;
    let (_registry, address) = registry::start(&program, &context.work)?;
    let model = registry::model(context, &python, &address)?;
    context.ran("here", &["push", "--insecure", &model])?;
    let bin = context.work.join("bin");
    let linked = std::fs::create_dir_all(&bin).and_then(|()| {
        std::os::unix::fs::symlink(std::fs::canonicalize(&context.program)?, bin.join("ollama"))
    });
    linked.map_err(|e| e.to_string())?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(bin).chain(std::env::split_paths(&path));
    let paths = std::env::join_paths(paths).map_err(|e| e.to_string())?;
    let mut command = Command::new(python);
    command
        .arg(context.scripts.join("bars.py"))
        .env("PATH", paths)
        .env("HOME", &context.work)
        .env("CONFORMANCE_MODEL", &model)
        // Nobody is asked; the scripts' common part wants to know where.
        .env("OLLAMA_HOST", "127.0.0.1:9")
        .env("NO_PROXY", "127.0.0.1")
        .env("PYTHONPYCACHEPREFIX", context.kept.join("pycache"))
        .env_remove("OLLAMA_MODELS")
        .env_remove("OLLAMA_MIRRORS")
        .env_remove("OLLAMA_OFFLINE")
        .stdin(Stdio::null());
    println!("bars.py");
    let status = command.status().map_err(|e| format!("bars.py: {e}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("bars.py: {status}").into()),
    }
}
