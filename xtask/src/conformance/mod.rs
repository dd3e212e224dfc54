//! `cargo xtask conformance`: the program beside others that cargo does not build: registries, clients, shells.
//!
//! Each check sets up what it can in `target/conformance`, and names what this machine lacks.

mod bars;
mod clients;
mod environment;
mod offline;
mod packaging;
mod registry;
mod serving;
mod tls;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::cargo::{cargo, run};

/// Where checks work and what they check.
pub struct Context {
    /// The program `ollama`.
    program: PathBuf,
    /// A folder that the check may fill; it is empty when a check begins.
    work: PathBuf,
    /// A folder that stays: packages, and the model that checks share.
    kept: PathBuf,
    /// The scripts in the repository.
    scripts: PathBuf,
}

/// Why a check did not end well.
pub enum Problem {
    /// This machine lacks something; how to get it.
    Missing(String),
    Failed(String),
}

impl From<String> for Problem {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

type Check = fn(&Context) -> Result<(), Problem>;

const CHECKS: [(&str, Check); 11] = [
    ("registry", registry::check),
    ("tls", tls::check),
    ("python-index", registry::python_index),
    ("offline", offline::check),
    ("terminal", bars::check),
    ("packaging", packaging::check),
    ("python", clients::python),
    ("node", clients::node),
    ("frameworks", clients::frameworks),
    ("tutorial", clients::tutorial),
    ("screen", clients::screen),
];

/// Runs all checks, or those that are named. `OLLAMA_PROGRAM` names a program that is built already.
pub fn check(root: &Path, target: &Path, wanted: &[&str]) -> Result<(), String> {
    let known = |name: &&&str| CHECKS.iter().any(|(check, _)| check == *name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        let names: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "no check {unknown}; there are {}",
            names.join(", ")
        ));
    }
    let program = program(root, target)?;
    let mut bad = Vec::new();
    for (name, check) in CHECKS {
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        let work = target.join("conformance").join(name);
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
        let context = Context {
            program: program.clone(),
            work: work.clone(),
            kept: target.join("conformance").join("kept"),
            scripts: root.join("xtask").join("conformance"),
        };
        match check(&context) {
            Ok(()) => println!("conformance {name}: ok"),
            Err(Problem::Missing(what)) => bad.push(format!("{name}: this machine lacks {what}")),
            Err(Problem::Failed(why)) => bad.push(format!("{name}: {why}")),
        }
        // Models are large.
        let _ = fs::remove_dir_all(&work);
    }
    if bad.is_empty() {
        Ok(())
    } else {
        Err(bad.join("\n"))
    }
}

/// `OLLAMA_PROGRAM`, or what cargo builds.
pub fn program(root: &Path, target: &Path) -> Result<PathBuf, String> {
    if let Some(program) = std::env::var_os("OLLAMA_PROGRAM") {
        return Ok(program.into());
    }
    run(cargo()
        .current_dir(root)
        .args(["build", "--release", "--package", "ollama"]))?;
    Ok(target.join("release").join("ollama"))
}

impl Context {
    /// The program with a home of its own below the check's folder.
    fn ollama<S: AsRef<OsStr>>(&self, home: &str, args: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env("HOME", self.work.join(home))
            // No server listens there, whatever this machine runs.
            .env("OLLAMA_HOST", "127.0.0.1:1")
            .stdin(Stdio::null());
        for name in ["OLLAMA_MODELS", "OLLAMA_MIRRORS", "OLLAMA_OFFLINE"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs the program and says what it printed.
    fn ran(&self, home: &str, args: &[&str]) -> Result<String, Problem> {
        let output = self.ollama(home, args).output();
        let output = output.map_err(|e| format!("{}: {e}", self.program.display()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("ollama {}: {}: {said}", args.join(" "), output.status).into())
    }
}

/// A program that ends with the check.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program of this machine, or how to get it.
fn tool(names: &[&str], package: &str) -> Result<PathBuf, Problem> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .find(|file| file.is_file());
    found.ok_or_else(|| Problem::Missing(format!("{} (Debian's package {package})", names[0])))
}
