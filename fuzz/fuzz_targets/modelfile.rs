//! Any bytes as a Modelfile: what is read is printed so that it is read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use llamakit_fuzz::modelfile::Modelfile;

fuzz_target!(|bytes: &[u8]| {
    let Ok(modelfile) = Modelfile::parse(bytes) else {
        return;
    };
    let printed = modelfile.to_string();
    let again = Modelfile::parse(printed.as_bytes()).expect("what was printed");
    assert_eq!(again, modelfile);
});
