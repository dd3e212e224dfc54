//! Any bytes as a GGUF file: read, print, check and dequantise without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use llamakit::gguf::{File, Overrides, validate_adapter, validate_model};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = File::from_bytes(bytes) else {
        return;
    };
    let _ = validate_model(&file, &Overrides::new());
    let _ = validate_adapter(&file);
    for (key, value) in file.metadata() {
        assert_eq!(
            file.get(key).map(|found| found.value_type()),
            Some(value.value_type())
        );
        let _ = value.to_string();
    }
    for tensor in file.tensors() {
        let values = file
            .tensor_f32(tensor.name())
            .expect("tensors of small files fit in memory");
        assert_eq!(values.len() as u64, tensor.elements());
    }
});
