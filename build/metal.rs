//! Upstream's Metal backend and how its shader sources get into the program:
//! each kernel file becomes one self-contained text, included by an assembler file.

/// C++ files of `ggml/src/ggml-metal`.
pub const CPP_SOURCES: &[&str] = &[
    "ggml-metal.cpp",
    "ggml-metal-device.cpp",
    "ggml-metal-common.cpp",
    "ggml-metal-fusion.cpp",
    "ggml-metal-ops.cpp",
    "ggml-metal-tuning.cpp",
];

/// Objective-C files of `ggml/src/ggml-metal`. They count references by hand: no ARC.
pub const OBJC_SOURCES: &[&str] = &["ggml-metal-device.m", "ggml-metal-context.m"];

/// Kernel files of `ggml/src/ggml-metal/kernels`, without `.metal`.
pub const KERNELS: &[&str] = &[
    "argsort",
    "binbcast",
    "conv",
    "fa_aux",
    "fa_f16",
    "fa_f32",
    "fa_q4_0",
    "fa_q4_1",
    "fa_q5_0",
    "fa_q5_1",
    "fa_q8_0",
    "fa_vec_f16",
    "fa_vec_f32",
    "fa_vec_q4_0",
    "fa_vec_q4_1",
    "fa_vec_q5_0",
    "fa_vec_q5_1",
    "fa_vec_q8_0",
    "gated_delta_net",
    "misc",
    "mul_mm",
    "mul_mv",
    "mul_mv_mma",
    "norm",
    "pool",
    "quantize",
    "reduce",
    "rope",
    "softmax",
    "solve_tri",
    "ssm",
    "tri",
    "unary",
    "upscale",
    "wkv",
];

/// Where the assembler file of a kernel is generated.
pub fn asm_path(kernel: &str) -> String {
    format!("metal/{kernel}.s")
}

/// Where the self-contained text of a kernel is generated.
pub fn text_path(kernel: &str) -> String {
    format!("metal/{kernel}.metal")
}

/// Upstream's mark for the place of `ggml-common.h` in an embedded text.
const MARK: &str = "__embed_ggml-common.h__";

/// Folders of upstream's tree that shader sources include from, the nearest first.
const FOLDERS: [&str; 3] = [
    "ggml/src/ggml-metal/kernels",
    "ggml/src/ggml-metal",
    "ggml/src",
];

/// The self-contained text of a kernel: each local file that it includes stands where it is
/// first included. `read` gives the text of a path in upstream's tree, if there is one.
pub fn embedded(kernel: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut text = String::new();
    inline(&format!("{kernel}.metal"), read, &mut Vec::new(), &mut text)?;
    Ok(text)
}

fn inline(
    name: &str,
    read: &dyn Fn(&str) -> Option<String>,
    done: &mut Vec<String>,
    text: &mut String,
) -> Result<(), String> {
    if done.iter().any(|d| d == name) {
        return Ok(());
    }
    done.push(name.to_owned());
    let source = FOLDERS
        .iter()
        .find_map(|folder| read(&format!("{folder}/{name}")))
        .ok_or_else(|| {
            format!("Metal kernels include {name}, which upstream's tree does not have")
        })?;
    for line in source.lines() {
        if let Some(included) = local_include(line) {
            inline(included, read, done, text)?;
        } else if line.trim() == MARK {
            inline("ggml-common.h", read, done, text)?;
        } else if line.trim() != "#pragma once" {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(())
}

/// The file named by `#include "..."`.
pub fn local_include(line: &str) -> Option<&str> {
    let name = line
        .trim()
        .strip_prefix('#')?
        .trim_start()
        .strip_prefix("include")?;
    name.trim_start().strip_prefix('"')?.split('"').next()
}

/// The assembler file that puts the text at `path` into the program under the symbols
/// that upstream's `ggml-metal-device.m` looks for.
pub fn assembler(kernel: &str, path: &str) -> String {
    let symbol = format!("_ggml_metallib_{}", kernel.replace('-', "_"));
    let path = path.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        ".section __DATA,__ggml_metallib\n\
         .globl {symbol}_start\n\
         {symbol}_start:\n\
         .incbin \"{path}\"\n\
         .globl {symbol}_end\n\
         {symbol}_end:\n"
    )
}
