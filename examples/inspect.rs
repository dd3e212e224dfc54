//! Shows what a GGUF file holds: header, metadata, tensors. Compiles no C++:
//! `cargo run --no-default-features --example inspect -- model.gguf`

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use llamakit::gguf::{self, File, Overrides, TensorInfo};

fn main() -> ExitCode {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let [path] = paths.as_slice() else {
        let _ = writeln!(io::stderr(), "usage: inspect FILE.gguf");
        return ExitCode::FAILURE;
    };
    let shown = File::open(path)
        .map_err(|error| error.to_string())
        .and_then(|file| show(&file).map_err(|error| format!("cannot print: {error}")));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn show(file: &File) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let bytes: usize = file.tensors().iter().map(TensorInfo::byte_len).sum();
    let elements: u64 = file.tensors().iter().map(TensorInfo::elements).sum();
    writeln!(
        out,
        "GGUF version {}, alignment {}",
        file.version(),
        file.alignment()
    )?;
    writeln!(
        out,
        "{} keys, {} tensors with {elements} elements in {:.1} MiB, data at byte {}",
        file.metadata().len(),
        file.tensors().len(),
        bytes as f64 / f64::from(1 << 20),
        file.data_offset()
    )?;
    match gguf::validate_model(file, &Overrides::new()) {
        Ok(()) => writeln!(out, "no objection to loading this as a model")?,
        Err(error) => writeln!(out, "cannot be loaded as a model: {}", error.message())?,
    }
    writeln!(out, "\nMetadata")?;
    for (key, value) in file.metadata() {
        writeln!(out, "  {key} ({}) = {value}", value.value_type())?;
    }
    writeln!(out, "\nTensors")?;
    for tensor in file.tensors() {
        writeln!(
            out,
            "  {:<40} {:<8} {:?}",
            tensor.name(),
            tensor.tensor_type().name(),
            tensor.dims()
        )?;
    }
    out.flush()
}
