//! Where the scripts find the packages they import: below the target folder, made once for each list of packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Context, Problem, tool};

/// The Python of a virtual environment with the packages of `requirements.txt`.
pub(super) fn python(context: &Context) -> Result<PathBuf, Problem> {
    let programs = virtual_environment(context, "python", "requirements.txt")?;
    Ok(programs.join("python"))
}

/// The folder of the programs that Python's index has, of `tools.txt`.
pub(super) fn tools(context: &Context) -> Result<PathBuf, Problem> {
    virtual_environment(context, "tools", "tools.txt")
}

/// A virtual environment with the packages of this list: the folder of its programs.
fn virtual_environment(context: &Context, name: &str, list: &str) -> Result<PathBuf, Problem> {
    let system = tool(&["python3"], "python3")?;
    let venv = context.kept.join(name);
    let programs = venv.join("bin");
    let python = programs.join("python");
    if made(context, &venv, list)? {
        return Ok(programs);
    }
    println!("installing the packages of xtask/conformance/{list}");
    let venv_made = quietly(Command::new(system).args(["-m", "venv"]).arg(&venv));
    if let Err(why) = venv_made {
        return Err(Problem::Missing(format!(
            "Python's venv (Debian's package python3-venv): {why}"
        )));
    }
    // What is never imported need not be compiled.
    let options = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    let mut install = Command::new(&python);
    install
        .args(options)
        .args(["--no-compile", "--requirement"]);
    quietly(install.arg(context.scripts.join(list)))?;
    remember(context, &venv, list)?;
    Ok(programs)
}

/// A folder with the packages of `package.json`.
pub(super) fn node(context: &Context) -> Result<PathBuf, Problem> {
    let npm = tool(&["npm"], "npm")?;
    let prefix = context.kept.join("node");
    let list = "package.json";
    if made(context, &prefix, list)? {
        return Ok(prefix);
    }
    println!("installing the packages of xtask/conformance/{list}");
    fs::create_dir_all(&prefix).map_err(|e| format!("{}: {e}", prefix.display()))?;
    copy(&context.scripts, &prefix, &[list])?;
    let options = ["install", "--no-audit", "--no-fund", "--no-update-notifier"];
    quietly(Command::new(npm).args(options).arg("--prefix").arg(&prefix))?;
    remember(context, &prefix, list)?;
    Ok(prefix)
}

/// Copies files from one folder into another.
pub(super) fn copy(from: &Path, to: &Path, names: &[&str]) -> Result<(), String> {
    for name in names {
        let copied = fs::copy(from.join(name), to.join(name));
        copied.map_err(|e| format!("{}: {e}", from.join(name).display()))?;
    }
    Ok(())
}

/// Whether the folder was made of this list. What was made of another is removed.
fn made(context: &Context, folder: &Path, list: &str) -> Result<bool, String> {
    let wanted = context.scripts.join(list);
    let wanted = fs::read(&wanted).map_err(|e| format!("{}: {e}", wanted.display()))?;
    if fs::read(folder.join("made-of")).is_ok_and(|was| was == wanted) {
        return Ok(true);
    }
    let _ = fs::remove_dir_all(folder);
    Ok(false)
}

fn remember(context: &Context, folder: &Path, list: &str) -> Result<(), String> {
    let copied = fs::copy(context.scripts.join(list), folder.join("made-of"));
    copied.map(drop).map_err(|e| format!("{list}: {e}"))
}

/// Runs a program, and says what it said if it fails.
fn quietly(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(format!("{command:?}: {}: {}", output.status, said.trim()))
}
