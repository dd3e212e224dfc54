//! Models with fewer bits. These need llama.cpp.

use llamakit::gguf::{File, TensorType};
use ollama::Kind;

use super::*;

fn f16() -> Tiny {
    let tiny = plain().quantized(TensorType::F16);
    tiny.with("general.file_type", 1_u32)
}

#[test]
fn weights_are_quantised_and_the_settings_say_so() {
    let kit = Kit::new();
    let mut request = kit.of_file("m", "m.gguf", &f16().bytes());
    request.quantize = "q8_0".to_owned();
    let told = kit.create(&request).unwrap();
    assert!(
        told.contains(&"quantizing F16 model to Q8_0".to_owned()),
        "{told:?}"
    );
    assert!(
        told.contains(&"verifying conversion".to_owned()),
        "{told:?}"
    );
    assert_eq!(kit.config("m")["file_type"], "Q8_0");
    let manifest = kit.manifest("m");
    let file = File::open(kit.store.layer(&manifest.layers[0]).unwrap()).unwrap();
    let tensor = file.tensor("blk.0.attn_q.weight").unwrap();
    assert_eq!(tensor.tensor_type(), TensorType::Q8_0);
    assert_eq!(names(kit.store.root()), [".lock", "blobs", "manifests"]);

    // Once is enough, and the same again is nothing to do.
    let mut again = Request::new("again");
    again.from = "m".to_owned();
    again.quantize = "q4_0".to_owned();
    let error = kit.refused(&again);
    assert_eq!(
        error.to_string(),
        "quantization is only supported for F16, BF16 and F32 models"
    );
    let mut same = kit.of_file("same", "m.gguf", &f16().bytes());
    same.quantize = "f16".to_owned();
    kit.create(&same).unwrap();
    assert_eq!(
        kit.manifest("same").layers[0].digest.to_string(),
        digest(&f16().bytes())
    );
}

#[test]
fn progress_counts_bytes_and_can_stop_it() {
    let kit = Kit::new();
    let mut request = kit.of_file("m", "m.gguf", &f16().bytes());
    request.quantize = "q4_K_M".to_owned();
    let stop = AtomicBool::new(false);
    let seen = Mutex::new(Vec::new());
    let report = |progress: Progress| {
        if let (Some(completed), Some(total)) = (progress.completed, progress.total) {
            assert_eq!(progress.status, "quantizing F16 model to Q4_K_M");
            assert_eq!(progress.digest.as_deref(), Some("0000000000000000000"));
            assert!(completed <= total);
            seen.lock().unwrap().push(completed);
            if completed > 0 {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
    };
    let control = Control {
        stop: &stop,
        prune: true,
    };
    let error = create(&kit.store, &request, &report, control).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert!(seen.lock().unwrap().is_sorted());
    assert!(kit.store.list().unwrap().models.is_empty());
    assert_eq!(kit.blobs().len(), 1);
    assert!(
        !names(kit.store.root())
            .iter()
            .any(|name| name.starts_with(".making"))
    );
}

#[test]
fn no_memory_of_others_comes_into_a_quantised_model() {
    // CVE-2026-7482: tensors that lie past the end of the file.
    let kit = Kit::new();
    let bytes = f16().bytes();
    let mut request = kit.of_file("m", "evil.gguf", &bytes[..bytes.len() / 2]);
    request.quantize = "q8_0".to_owned();
    assert_eq!(kit.refused(&request).kind(), Kind::Damaged);
    assert_eq!(kit.blobs().len(), 1);
}

#[test]
fn parts_of_a_split_model_are_joined_first() {
    let kit = Kit::new();
    let parts: Vec<Layer> = f16()
        .shards(2)
        .iter()
        .map(|path| {
            let (digest, size) = kit.store.put_bytes(&fs::read(path).unwrap()).unwrap();
            Layer::new("application/vnd.ollama.image.model", digest, size)
        })
        .collect();
    kit.base();
    let config = kit.manifest("base").config;
    let name = Name::parse("split").unwrap();
    kit.store
        .put_manifest(&name, &Manifest::new(config, parts))
        .unwrap();
    let before = kit.blobs().len();

    let mut request = Request::new("m");
    request.from = "split".to_owned();
    request.quantize = "q8_0".to_owned();
    request.system = "s".to_owned();
    kit.create(&request).unwrap();
    assert_eq!(kit.layers("m"), [layer("model", ""), layer("system", "s")]);
    assert_eq!(kit.config("m")["file_type"], "Q8_0");
    // Weights, system and settings are new, and what was joined is gone.
    assert_eq!(kit.blobs().len(), before + 3);
}
