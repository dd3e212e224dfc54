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
