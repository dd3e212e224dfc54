//! From a Modelfile to a request: files become blobs of the store, the rest becomes fields.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use llamakit::gguf::SplitName;
use serde_json::Value;

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::modelfile::{Instruction, Modelfile, Parameter, Setting};
use crate::progress::{Progress, Report};
use crate::store::Store;

use super::request::{Message, Request};

/// The most files that a folder may have to be looked through.
const MAX_ENTRIES: usize = 10_000;

/// Names of files that say that a folder holds a model that is not in GGUF format.
const OTHER_FORMATS: [&str; 4] = [".safetensors", ".pth", ".pt", ".bin"];

impl Request {
    /// The request that a Modelfile stands for. Files that it names, relative to `folder` or absolute, are
    /// put into the store: as clones or links where the disk can, so that nothing is copied.
    ///
    /// `FROM` and `DRAFT` take a GGUF file, any one file of a split model, or a folder of GGUF files. What
    /// is no file is the name of a model.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for files that are not there, [`Kind::Invalid`] for files that are no GGUF, naming
    /// them as the Modelfile does; [`Kind::Unsupported`] for folders of Safetensors; [`Kind::Storage`].
    pub fn from_modelfile(
        store: &Store,
        model: &str,
        modelfile: &Modelfile,
        folder: &Path,
        report: Report<'_>,
    ) -> Result<Self> {
        let keep = |path: &Path| store.adopt(path).map(|(digest, _)| digest);
        Self::from_modelfile_with(&keep, model, modelfile, folder, report)
    }

    /// The same, with another way to bring a file to where the model is made.
    ///
    /// # Errors
    /// As [`from_modelfile`](Self::from_modelfile), and those of `keep`.
    pub fn from_modelfile_with(
        keep: &dyn Fn(&Path) -> Result<Digest>,
        model: &str,
        modelfile: &Modelfile,
        folder: &Path,
        report: Report<'_>,
    ) -> Result<Self> {
        report(Progress::status("gathering model components"));
        let gather = Gather {
            keep,
            folder,
            report,
        };
        let mut request = Self::new(model);
        for instruction in modelfile.instructions() {
            match instruction {
                Instruction::From(value) => gather.from(value, &mut request)?,
                Instruction::Adapter(value) => {
                    gather.add("ADAPTER", value, &mut request.adapters)?;
                }
                Instruction::Draft(value) => {
                    gather.add("DRAFT", value, &mut request.draft_files)?;
                }
                Instruction::Template(text) => request.template.clone_from(text),
                Instruction::System(text) => request.system.clone_from(text),
                Instruction::License(text) => request.license.push(text.clone()),
                Instruction::Renderer(text) => request.renderer.clone_from(text),
                Instruction::Parser(text) => request.parser.clone_from(text),
                Instruction::Requires(text) => request.requires.clone_from(text),
                Instruction::Parameter(parameter) => set(parameter, &mut request),
                Instruction::Message(role, content) => request.messages.push(Message {
                    role: role.name().to_owned(),
                    content: content.clone(),
                    ..Message::default()
                }),
            }
        }
        Ok(request)
    }
}

/// The last value holds; those of `stop` come together.
fn set(parameter: &Parameter, request: &mut Request) {
    let value = match parameter.value() {
        Some(Setting::Int(value)) => value.into(),
        Some(Setting::Float(value)) => value.into(),
        Some(Setting::Bool(value)) => value.into(),
        Some(Setting::Text(value)) => {
            let texts = request.parameters.entry(parameter.name());
            let texts = texts.or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(texts) = texts {
                texts.push(value.into());
            }
            return;
        }
        // It has no effect, which the work will say.
        None => parameter.text().into(),
    };
    request
        .parameters
        .insert(parameter.name().to_owned(), value);
}

struct Gather<'a> {
    keep: &'a dyn Fn(&Path) -> Result<Digest>,
    folder: &'a Path,
    report: Report<'a>,
}

impl Gather<'_> {
    fn from(&self, value: &str, request: &mut Request) -> Result<()> {
        if self.path(value)?.exists() || is_path(value) {
            return self.add("FROM", value, &mut request.files);
        }
        value.clone_into(&mut request.from);
        Ok(())
    }

    /// Stores the files of a value.
    fn add(&self, word: &str, value: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
        let path = self.path(value)?;
        if !path.exists() {
            return Err(Error::new(
                Kind::NotFound,
                format!("{word} {value}: no such file"),
            ));
        }
        let found = if path.is_dir() {
            files_of(word, value, &path)?
        } else {
            whole_model(&path)
        };
        for path in found {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let shown = path.display();
            is_gguf(&path)
                .map_err(|error| Error::new(error.kind(), format!("{shown}: {error}")))?;
            let digest = (self.keep)(&path)?;
            (self.report)(Progress::status(format!("copying file {digest} 100%")));
            let digest = digest.to_string();
            // Files of two folders may have one name.
            let taken = |name: &String| files.get(name).is_some_and(|known| *known != digest);
            let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{n}/{name}")));
            if let Some(free) = names.into_iter().find(|name| !taken(name)) {
                files.insert(free, digest);
            }
        }
        Ok(())
    }

    /// The path that a value means. `~` is the user's home.
    fn path(&self, value: &str) -> Result<PathBuf> {
        let home = value.strip_prefix('~').filter(|rest| {
            rest.is_empty() || rest.starts_with('/') || rest.starts_with(std::path::MAIN_SEPARATOR)
        });
        match home {
            Some(rest) => {
                let home = std::env::home_dir().ok_or_else(|| {
                    Error::new(Kind::NotFound, format!("{value}: this user has no home"))
                })?;
                Ok(home.join(rest.trim_start_matches(['/', std::path::MAIN_SEPARATOR])))
            }
            None => Ok(self.folder.join(value)),
        }
    }
}

/// Whether a value cannot be the name of a model.
fn is_path(value: &str) -> bool {
    let starts = ["/", "./", "../", "~", "\\", ".\\", "..\\"];
    starts.iter().any(|start| value.starts_with(start))
        || value == "."
        || value == ".."
        || (value.ends_with(".gguf") && !value.contains("://"))
}

/// The file, or all files of the split model that it is one of.
fn whole_model(path: &Path) -> Vec<PathBuf> {
    match SplitName::parse(path) {
        Some(name) if name.count() > 1 => {
            let all: Vec<PathBuf> = name.paths().collect();
            // One that is missing is named when the model is made.
            all.into_iter().filter(|path| path.exists()).collect()
        }
        _ => vec![path.to_owned()],
    }
}

/// The GGUF files of a folder, in order of their names.
fn files_of(word: &str, value: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error: std::io::Error| {
        Error::new(
            Kind::Storage,
            format!("{word} {value}: cannot read the folder: {error}"),
        )
    };
    let mut found = Vec::new();
    let mut other = None;
    for entry in fs::read_dir(folder).map_err(cannot)?.take(MAX_ENTRIES) {
        let path = entry.map_err(cannot)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !path.is_file() {
            continue;
        }
        if name.ends_with(".gguf") || (name.ends_with(".bin") && is_gguf(&path).is_ok()) {
            found.push(path);
        } else if OTHER_FORMATS.iter().any(|end| name.ends_with(end)) {
            other.get_or_insert(name);
        }
    }
    if let (true, Some(other)) = (found.is_empty(), other) {
        return Err(Error::new(
            Kind::Unsupported,
            format!(
                "{word} {value}: {other} and its like are not converted here; llama.cpp's \
                 convert_hf_to_gguf.py makes a GGUF file of them"
            ),
        ));
    }
    if found.is_empty() {
        let message = format!("{word} {value}: no Modelfile or GGUF files found");
        return Err(Error::new(Kind::NotFound, message));
    }
    found.sort_unstable();
    Ok(found)
}

/// Only GGUF files come into the store: neither what a link in a folder leads to, nor huge other files.
fn is_gguf(path: &Path) -> Result<()> {
    let cannot =
        |error: std::io::Error| Error::new(Kind::Storage, format!("cannot read it: {error}"));
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(Error::new(Kind::Invalid, "this is not a regular file"));
    }
    let mut magic = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(4).read_to_end(&mut magic))
        .map_err(cannot)?;
    if magic == b"GGUF" {
        return Ok(());
    }
    let name = path.to_string_lossy();
    if OTHER_FORMATS.iter().any(|end| name.ends_with(end)) {
        let message = "this format is not converted here; llama.cpp's convert_hf_to_gguf.py makes a GGUF file of it";
        return Err(Error::new(Kind::Unsupported, message));
    }
    Err(Error::new(Kind::Invalid, "this file is not in GGUF format"))
}
