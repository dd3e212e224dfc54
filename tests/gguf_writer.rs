//! What the GGUF writer accepts, refuses and leaves on disk.

use llamakit::ErrorKind;
use llamakit::gguf::{TensorType, Writer};

#[test]
fn a_small_file_has_exactly_the_documented_bytes() {
    let mut writer = Writer::new();
    writer
        .set("a", 7_u32)
        .unwrap()
        .set("b", vec!["x", "yz"])
        .unwrap();
    writer
        .tensor("t", &[2], TensorType::F32, vec![1, 2, 3, 4, 5, 6, 7, 8])
        .unwrap();

    let mut expected = b"GGUF".to_vec();
    expected.extend(3_u32.to_le_bytes());
    expected.extend(1_u64.to_le_bytes());
    expected.extend(2_u64.to_le_bytes());
    expected.extend(1_u64.to_le_bytes());
    expected.extend(b"a");
    expected.extend(4_u32.to_le_bytes());
    expected.extend(7_u32.to_le_bytes());
    expected.extend(1_u64.to_le_bytes());
    expected.extend(b"b");
    expected.extend(9_u32.to_le_bytes());
    expected.extend(8_u32.to_le_bytes());
    expected.extend(2_u64.to_le_bytes());
    expected.extend(1_u64.to_le_bytes());
    expected.extend(b"x");
    expected.extend(2_u64.to_le_bytes());
    expected.extend(b"yz");
    expected.extend(1_u64.to_le_bytes());
    expected.extend(b"t");
    expected.extend(1_u32.to_le_bytes());
    expected.extend(2_u64.to_le_bytes());
    expected.extend(0_u32.to_le_bytes());
    expected.extend(0_u64.to_le_bytes());
    expected.resize(expected.len().next_multiple_of(32), 0);
    expected.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    expected.resize(expected.len().next_multiple_of(32), 0);
    assert_eq!(writer.to_bytes(), expected);
}

#[test]
fn setting_a_key_again_replaces_its_value() {
    let mut once = Writer::new();
    once.set("a", 2_u8).unwrap().set("b", true).unwrap();
    let mut twice = Writer::new();
    twice
        .set("a", "old")
        .unwrap()
        .set("b", true)
        .unwrap()
        .set("a", 2_u8)
        .unwrap();
    assert_eq!(once.to_bytes(), twice.to_bytes());
}

#[test]
fn bad_keys_and_alignments_are_refused() {
    let mut writer = Writer::new();
    let refused = [
        writer.set("", 1_u32).map(|_| ()),
        writer.set("a\0b", 1_u32).map(|_| ()),
        writer.set("general.alignment", 0_u32).map(|_| ()),
        writer.set("general.alignment", 24_u32).map(|_| ()),
        writer.set("general.alignment", 32_i32).map(|_| ()),
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(writer.to_bytes(), Writer::new().to_bytes());
}

#[test]
fn bad_tensors_are_refused() {
    let mut writer = Writer::new();
    writer
        .tensor("taken", &[1], TensorType::I8, vec![0])
        .unwrap();
    let before = writer.to_bytes();
    let refused = [
        writer.tensor("", &[1], TensorType::I8, vec![0]).map(|_| ()),
        writer
            .tensor("n".repeat(64), &[1], TensorType::I8, vec![0])
            .map(|_| ()),
        writer
            .tensor("a\0", &[1], TensorType::I8, vec![0])
            .map(|_| ()),
        writer
            .tensor("taken", &[1], TensorType::I8, vec![0])
            .map(|_| ()),
        writer
            .tensor("dims", &[1; 5], TensorType::I8, vec![0])
            .map(|_| ()),
        writer
            .tensor("size", &[2], TensorType::I8, vec![0])
            .map(|_| ()),
        writer
            .tensor("block", &[31], TensorType::Q4_0, vec![0; 18])
            .map(|_| ()),
        writer
            .tensor("overflow", &[1 << 40, 1 << 40], TensorType::I8, vec![])
            .map(|_| ()),
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(writer.to_bytes(), before);
}

#[test]
fn alignment_moves_the_data() {
    let mut writer = Writer::new();
    writer.set("general.alignment", 256_u32).unwrap();
    writer
        .tensor("a", &[1], TensorType::I8, vec![0xaa])
        .unwrap();
    writer
        .tensor("b", &[1], TensorType::I8, vec![0xbb])
        .unwrap();
    let bytes = writer.to_bytes();
    assert_eq!(bytes.len(), 3 * 256);
    assert_eq!((bytes[256], bytes[512]), (0xaa, 0xbb));
}

#[test]
fn write_file_replaces_the_target_and_leaves_nothing_else() {
    let folder = std::env::temp_dir().join(format!("llamakit-gguf-writer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.gguf");
    std::fs::write(&path, "old").unwrap();
    let mut writer = Writer::new();
    writer.set("a", 1_u8).unwrap();
    writer.write_file(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), writer.to_bytes());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);

    let error = writer
        .write_file(folder.join("missing/model.gguf"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("missing"), "{error}");
    // A folder cannot be replaced by a file: the temporary file goes away again.
    std::fs::create_dir(folder.join("folder")).unwrap();
    assert!(writer.write_file(folder.join("folder")).is_err());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    std::fs::remove_dir_all(&folder).unwrap();
}
