//! Published Go templates: those in the sources of Ollama, a module of the Go proxy, and those of models
//! in Ollama's library that `@huggingface/ollama-utils` of the npm registry carries.

use std::io::{Cursor, Read};

use sha2::{Digest, Sha256};

use crate::registry::{self, Package};

/// A template as it was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// Where it is from.
    pub name: String,
    /// Its source.
    pub source: String,
    /// Whether its prompts are recorded as text, not as hashes.
    pub full: bool,
}

/// The folders `template`, whose files are the same in 0.34.0, and `server/testdata/tools`.
const OLLAMA: Package = Package {
    file: "ollama-0.6.5.zip",
    path: "github.com/ollama/ollama/@v/v0.6.5.zip",
    sha256: "f141069a9ead55d9c4d207cbc0fbdd578a819fc83e6d34cd64bf4c9dac606812",
};

/// The file `dist/index.js`, where the templates are literals.
const OLLAMA_UTILS: Package = Package {
    file: "ollama-utils-0.0.18.tgz",
    path: "@huggingface/ollama-utils/-/ollama-utils-0.0.18.tgz",
    sha256: "3d8beba35ea5d634970e29090ab45234e54a3db8d9263cf72e0031c1cc44f8d5",
};

/// Models whose prompts are recorded as text: one of each family and form of tool calls.
const FULL: &[&str] = &[
    "command-r7b:7b",
    "deepseek-r1:8b",
    "deepseek-v3.1:latest",
    "granite3.3:2b",
    "hermes3:70b",
    "llama3.1:8b",
    "llama4:latest",
    "mistral-small:24b",
    "phi4-mini:3.8b",
    "qwen2.5-coder:1.5b",
    "qwen3:0.6b",
    "smollm2:135m",
];

/// All of them, in the order of their names.
///
/// # Errors
/// No network, or packages that are not what they were.
pub fn published() -> Result<Vec<Published>, String> {
    let mut all = of_ollama()?;
    all.extend(of_library()?);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// How prompts are recorded that are not recorded as text.
#[must_use]
pub fn digest(text: &str) -> String {
    registry::hex(&Sha256::digest(text.as_bytes())[..16])
}

fn of_ollama() -> Result<Vec<Published>, String> {
    let proxy = std::env::var("GOPROXY").unwrap_or_default();
    let mut proxies = proxy.split([',', '|']);
    let proxy = proxies.find(|url| url.starts_with("http"));
    let bytes = registry::fetch(proxy.unwrap_or("https://proxy.golang.org"), &OLLAMA)?;
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(|e| e.to_string())?;
        let path = file.name().map_err(|e| e.to_string())?;
        let Some((_, path)) = path.split_once("@v0.6.5/") else {
            continue;
        };
        let Some(name) = path.strip_suffix(".gotmpl") else {
            continue;
        };
        let name = format!("ollama/{name}");
        let mut source = String::new();
        file.read_to_string(&mut source)
            .map_err(|e| e.to_string())?;
        found.push(Published {
            name,
            source,
            full: true,
        });
    }
    Ok(found)
}

fn of_library() -> Result<Vec<Published>, String> {
    let registry = std::env::var("npm_config_registry").unwrap_or_default();
    let registry = Some(registry.as_str()).filter(|url| url.starts_with("http"));
    let bytes = registry::fetch(
        registry.unwrap_or("https://registry.npmjs.org"),
        &OLLAMA_UTILS,
    )?;
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut tar)
        .map_err(|e| e.to_string())?;
    let script = tar_entry(&tar, "package/dist/index.js").ok_or("no dist/index.js")?;
    let script = std::str::from_utf8(script).map_err(|e| e.to_string())?;
    let mut found: Vec<Published> = Vec::new();
    for entry in script.split("    model: \"library/").skip(1) {
        let (model, entry) = entry.split_once('"').ok_or("a model without a name")?;
        let (_, literal) = entry
            .split_once("    ollama: {\n      template: ")
            .ok_or("a model without a template")?;
        // Models are listed once for each Jinja template that was seen with them.
        let name = format!("library/{model}");
        if found.iter().all(|other| other.name != name) {
            found.push(Published {
                name,
                source: javascript_text(literal).ok_or("a literal that ends nowhere")?,
                full: FULL.contains(&model),
            });
        }
    }
    Ok(found)
}

/// A file of a tar archive (POSIX.1-1988): blocks of 512 bytes, the length in octal.
fn tar_entry<'t>(tar: &'t [u8], name: &str) -> Option<&'t [u8]> {
    let mut rest = tar;
    loop {
        let (header, body) = rest.split_at_checked(512)?;
        let size = std::str::from_utf8(&header[124..135]).ok()?;
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).ok()?;
        if header.starts_with(name.as_bytes()) && header[name.len()] == 0 {
            return body.get(..size);
        }
        rest = body.get(size.next_multiple_of(512)..)?;
    }
}

/// The value of the JavaScript literal that a text begins with.
fn javascript_text(literal: &str) -> Option<String> {
    let mut chars = literal.chars();
    let quote = chars.next()?;
    let mut text = String::new();
    loop {
        let char = chars.next()?;
        if char == quote {
            return Some(text);
        }
        if char != '\\' {
            text.push(char);
            continue;
        }
        match chars.next()? {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'x' => text.push(code(&mut chars, 2)?),
            'u' => text.push(code(&mut chars, 4)?),
            other => text.push(other),
        }
    }
}

fn code(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let code: String = chars.take(digits).collect();
    char::from_u32(u32::from_str_radix(&code, 16).ok()?)
}
