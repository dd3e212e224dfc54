//! Service files and recipes of `examples/ollama/packaging`, by the programs that know their formats.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Context, Problem, environment, tool};

/// How exposed the service may be by systemd's count; it counts from 0, and a service without limits has 9.6.
const EXPOSURE: &str = "15";

/// What the property list must say, by Python's reader.
const PLIST: &str = r#"
import plistlib, sys
with open(sys.argv[1], "rb") as file:
    service = plistlib.load(file)
assert service["Label"] + ".plist" == sys.argv[1].rsplit("/", 1)[-1], "the file is not called by its label"
assert service["ProgramArguments"] == ["/usr/local/bin/ollama", "serve"], service["ProgramArguments"]
assert service["RunAtLoad"] is True and service["KeepAlive"] is True, "it does not start, or not again"
texts = dict, str, bool, int, list
unknown = [name for name, value in service.items() if not isinstance(value, texts)]
assert not unknown, unknown
"#;

pub(super) fn check(context: &Context) -> Result<(), Problem> {
    let root = context.scripts.parent().and_then(Path::parent);
    let root = root.ok_or_else(|| "the repository is not found".to_owned())?;
    let packaging = root.join("examples/ollama/packaging");
    let parts: [fn(&Context, &Path) -> Result<(), Problem>; 5] =
        [unit, settings, property_list, formula, dockerfile];
    let mut missing = Vec::new();
    let mut failed = Vec::new();
    for part in parts {
        match part(context, &packaging) {
            Ok(()) => {}
            Err(Problem::Missing(what)) => missing.push(what),
            Err(Problem::Failed(why)) => failed.push(why),
        }
    }
    match (failed.is_empty(), missing.is_empty()) {
        (false, _) => Err(Problem::Failed(failed.join("\n"))),
        (true, false) => Err(Problem::Missing(missing.join(", "))),
        (true, true) => Ok(()),
    }
}

/// The unit, with this program in place of the one that is installed.
fn unit(context: &Context, packaging: &Path) -> Result<(), Problem> {
    let analyze = tool(&["systemd-analyze"], "systemd")?;
    let text = read(&packaging.join("systemd/ollama.service"))?;
    let program = fs::canonicalize(&context.program).map_err(|e| e.to_string())?;
    let program = program.display().to_string();
    let installed = "ExecStart=/usr/local/bin/ollama serve\n";
    if !text.contains(installed) {
        return Err(format!("ollama.service has no line {installed}").into());
    }
    let unit = context.work.join("ollama.service");
    fs::write(&unit, text.replace("/usr/local/bin/ollama", &program)).map_err(|e| e.to_string())?;
    silent(Command::new(&analyze).arg("verify").arg(&unit))?;
    let mut security = Command::new(&analyze);
    security.args(["security", "--offline=true", "--no-pager"]);
    security.arg(format!("--threshold={EXPOSURE}"));
    passes(security.arg(&unit)).map(drop)
}

/// Every variable of the sample is one that the program has.
fn settings(context: &Context, packaging: &Path) -> Result<(), Problem> {
    let help = context.ran("home", &["serve", "--help"])?;
    let text = read(&packaging.join("systemd/environment"))?;
    let mut names = 0;
    for line in text.lines() {
        let line = line.trim_start_matches('#');
        let Some((name, _)) = line.split_once('=').filter(|(name, _)| !name.contains(' ')) else {
            continue;
        };
        names += 1;
        if !help.split_whitespace().any(|word| word == name) {
            return Err(format!("systemd/environment: no setting is called {name}").into());
        }
    }
    match names {
        0 => Err("systemd/environment names no setting".to_owned().into()),
        _ => Ok(()),
    }
}

fn property_list(_: &Context, packaging: &Path) -> Result<(), Problem> {
    let python = tool(&["python3"], "python3")?;
    let file = packaging.join("launchd/org.llamakit.ollama.plist");
    passes(Command::new(python).args(["-c", PLIST]).arg(file)).map(drop)
}

fn formula(_: &Context, packaging: &Path) -> Result<(), Problem> {
    let ruby = tool(&["ruby"], "ruby")?;
    let file = packaging.join("homebrew/llamakit-ollama.rb");
    passes(Command::new(ruby).args(["-W", "-c"]).arg(file)).map(drop)
}

fn dockerfile(context: &Context, packaging: &Path) -> Result<(), Problem> {
    let hadolint = environment::tools(context)?.join("hadolint");
    let mut command = Command::new(hadolint);
    command.args(["--no-color", "--failure-threshold", "style"]);
    passes(command.arg(packaging.join("docker/Dockerfile"))).map(drop)
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))
}

/// Runs what must succeed; what it said.
fn passes(command: &mut Command) -> Result<String, Problem> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{command:?}: {e}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match output.status.success() {
        true => Ok(said),
        false => Err(format!("{command:?}: {}: {said}", output.status).into()),
    }
}

/// Runs what must succeed and has nothing to say.
fn silent(command: &mut Command) -> Result<(), Problem> {
    let said = passes(command)?;
    match said.is_empty() {
        true => Ok(()),
        false => Err(format!("{command:?}: {said}").into()),
    }
}
