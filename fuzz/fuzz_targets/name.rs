//! Any text as the name of a model and as a digest: nothing that is accepted leads out of a store.

#![no_main]

use libfuzzer_sys::fuzz_target;
use llamakit_fuzz::digest::Digest;
use llamakit_fuzz::manifest::Manifest;
use llamakit_fuzz::name::Name;

fuzz_target!(|bytes: &[u8]| {
    let _ = Manifest::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(name) = Name::parse(text) {
        for part in [name.host(), name.namespace(), name.model(), name.tag()] {
            assert!(!part.is_empty() && !part.starts_with(['.', '-']));
            assert!(!part.contains(['/', '\\', '\0']));
        }
        assert_eq!(Name::parse(&name.full()).expect("a name"), name);
        assert_eq!(Name::parse(&name.to_string()).expect("a name"), name);
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::from_file_name(&digest.file_name()), Some(digest));
    }
});
