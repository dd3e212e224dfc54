//! What the build script recorded about the compiled llama.cpp.

include!(concat!(env!("OUT_DIR"), "/build_info.rs"));
