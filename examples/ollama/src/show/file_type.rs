//! How weights are quantised on the whole, by llama.cpp's numbers.

use llamakit::gguf::FileType;

/// The name of a value of `general.file_type`, for instance `Q4_K_M`.
#[must_use]
pub fn file_type_name(file_type: u64) -> Option<&'static str> {
    let known = FileType::from_u32(u32::try_from(file_type).ok()?)?;
    Some(known.name())
}
