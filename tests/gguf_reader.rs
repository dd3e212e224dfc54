//! What the GGUF reader gives back, and that hostile files get errors that name what is wrong.

use llamakit::gguf::{Array, File, TensorType, Value, ValueRef, ValueType, Writer};
use llamakit::{ErrorKind, Result};
use proptest::prelude::*;

/// Bytes of a GGUF file, written without any check.
#[derive(Clone)]
struct Raw(Vec<u8>);

impl Raw {
    fn header(version: u32, n_tensors: u64, n_keys: u64) -> Self {
        Self(b"GGUF".to_vec())
            .u32(version)
            .u64(n_tensors)
            .u64(n_keys)
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn string(self, text: &str) -> Self {
        self.u64(text.len() as u64).bytes(text.as_bytes())
    }

    fn tensor(mut self, name: &str, dims: &[u64], ty: u32, offset: u64) -> Self {
        self = self.string(name).u32(dims.len() as u32);
        for &dim in dims {
            self = self.u64(dim);
        }
        self.u32(ty).u64(offset)
    }

    fn pad(mut self, alignment: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
        self
    }

    fn error(self) -> String {
        let error = File::from_bytes(self.0).expect_err("a damaged file was accepted");
        assert_eq!(error.kind(), ErrorKind::InvalidGguf);
        assert!(
            error.message().len() < 1000,
            "a message must not repeat the file"
        );
        error.message().to_owned()
    }
}

fn assert_contains(message: &str, part: &str) {
    assert!(message.contains(part), "{message:?} does not say {part:?}");
}

fn small_file() -> Writer {
    let mut writer = Writer::new();
    writer.set("general.architecture", "llama").unwrap();
    writer.set("u8", 1_u8).unwrap().set("i8", -1_i8).unwrap();
    writer
        .set("u16", 2_u16)
        .unwrap()
        .set("i16", -2_i16)
        .unwrap();
    writer
        .set("u32", 3_u32)
        .unwrap()
        .set("i32", -3_i32)
        .unwrap();
    writer
        .set("u64", u64::MAX)
        .unwrap()
        .set("i64", i64::MIN)
        .unwrap();
    writer
        .set("f32", 0.5_f32)
        .unwrap()
        .set("f64", 0.25_f64)
        .unwrap();
    writer.set("bool", true).unwrap();
    writer.set("numbers", vec![1_u32, 2, 3]).unwrap();
    writer.set("texts", vec!["a", "", "long text"]).unwrap();
    writer.set("nothing", Vec::<f32>::new()).unwrap();
    let floats = [1.0_f32, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|f| f.to_le_bytes())
        .collect();
    writer
        .tensor("a.weight", &[2, 2], TensorType::F32, floats)
        .unwrap();
    writer
        .tensor("b.weight", &[32], TensorType::Q8_0, (0..34).collect())
        .unwrap();
    writer
}

#[test]
fn reads_what_was_written_in_the_order_of_the_file() {
    let file = File::from_bytes(small_file().to_bytes()).unwrap();
    assert_eq!((file.version(), file.alignment()), (3, 32));
    assert_eq!(file.data_offset() % 32, 0);
    let keys: Vec<&str> = file.metadata().map(|(key, _)| key).collect();
    assert_eq!(keys[..3], ["general.architecture", "u8", "i8"]);
    assert_eq!(keys.len(), 15);

    assert_eq!(
        file.require::<&str>("general.architecture").unwrap(),
        "llama"
    );
    assert_eq!(file.require::<i64>("i64").unwrap(), i64::MIN);
    assert_eq!(file.require::<f32>("f32").unwrap(), 0.5);
    assert!(file.require::<bool>("bool").unwrap());
    assert_eq!(file.get("u64"), Some(ValueRef::U64(u64::MAX)));
    assert_eq!(file.get("absent"), None);
    let Some(ValueRef::Array(texts)) = file.get("texts") else {
        panic!("texts")
    };
    let texts: Vec<&[u8]> = texts.strings().unwrap().collect();
    assert_eq!(texts, [b"a".as_slice(), b"", b"long text"]);
    let Some(ValueRef::Array(numbers)) = file.get("numbers") else {
        panic!("numbers")
    };
    assert_eq!(numbers.element_type(), ValueType::U32);
    assert_eq!(
        numbers.numbers::<u32>().unwrap().collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(numbers.numbers::<i32>().is_none());
    assert!(numbers.strings().is_none());

    let names: Vec<&str> = file.tensors().iter().map(|tensor| tensor.name()).collect();
    assert_eq!(names, ["a.weight", "b.weight"]);
    let tensor = file.tensor("b.weight").unwrap();
    assert_eq!(
        (tensor.dims(), tensor.tensor_type()),
        ([32].as_slice(), TensorType::Q8_0)
    );
    assert_eq!((tensor.offset(), tensor.byte_len()), (32, 34));
    assert_eq!(file.tensor_data(tensor), (0..34).collect::<Vec<u8>>());
    assert!(file.tensor("c.weight").is_none());
}

#[test]
fn a_wrong_or_missing_key_is_named_with_both_types() {
    let file = File::from_bytes(small_file().to_bytes()).unwrap();
    let error = file.require::<u32>("texts").unwrap_err();
    assert_eq!(
        error.to_string(),
        "key texts has type arr[str], expected u32"
    );
    let error = file.find::<&str>("u32").unwrap_err();
    assert_eq!(
        error.to_string(),
        "key u32 has type u32, expected str of UTF-8"
    );
    let error = file.require::<u32>("absent").unwrap_err();
    assert_eq!(error.to_string(), "key absent is missing");
    assert_eq!(file.find::<u32>("absent").unwrap(), None);
}

#[test]
fn opening_a_path_maps_the_file_and_errors_name_it() {
    let folder = std::env::temp_dir().join(format!("llamakit-gguf-reader-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.gguf");
    small_file().write_file(&path).unwrap();
    let file = File::open(&path).unwrap();
    assert_eq!(file.path(), path);
    assert_eq!(file.bytes(), small_file().to_bytes());
    let again = File::from_file(std::fs::File::open(&path).unwrap(), "shown.gguf").unwrap();
    let error = again.require::<u8>("absent").unwrap_err();
    assert!(error.to_string().starts_with("shown.gguf: "), "{error}");

    assert_eq!(
        File::open(folder.join("absent.gguf")).unwrap_err().kind(),
        ErrorKind::Io
    );
    assert_eq!(File::open(&folder).unwrap_err().kind(), ErrorKind::Io);
    std::fs::write(folder.join("empty.gguf"), []).unwrap();
    let error = File::open(folder.join("empty.gguf")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidGguf);
    std::fs::write(folder.join("page.gguf"), "<!doctype html><html></html>").unwrap();
    let error = File::open(folder.join("page.gguf"))
        .unwrap_err()
        .to_string();
    assert_contains(&error, "page.gguf");
    assert_contains(&error, "\"<!do\"");
    drop(file);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let bytes = small_file().to_bytes();
    let padding = 64 - 34;
    let complete = bytes.len() - padding;
    for length in 0..complete {
        let result = File::from_bytes(&bytes[..length]);
        assert_eq!(
            result.unwrap_err().kind(),
            ErrorKind::InvalidGguf,
            "{length} bytes"
        );
    }
    // The padding after the last tensor is not data: upstream reads such files as well.
    for length in complete..=bytes.len() {
        File::from_bytes(&bytes[..length]).unwrap();
    }
}

#[test]
fn versions() {
    File::from_bytes(Raw::header(2, 0, 0).0).unwrap();
    File::from_bytes(Raw::header(3, 0, 0).0).unwrap();
    assert_contains(
        &Raw::header(1, 0, 0).error(),
        "version 1 is no longer supported",
    );
    assert_contains(&Raw::header(0, 0, 0).error(), "version 0");
    assert_contains(&Raw::header(4, 0, 0).error(), "version 4");
    assert_contains(&Raw::header(0x0300_0000, 0, 0).error(), "big-endian");
}

#[test]
fn the_four_bytes_of_the_magic_alone() {
    assert_contains(&Raw(b"GGUF".to_vec()).error(), "ends inside the version");
}

#[test]
fn huge_counts_and_lengths_allocate_nothing() {
    let huge = [u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 61, 1 << 32, 1 << 20];
    for count in huge {
        assert_contains(&Raw::header(3, count, 0).error(), "tensors");
        assert_contains(&Raw::header(3, 0, count).error(), "keys");
        let padding = [0; 16];
        let key = Raw::header(3, 0, 1).u64(count).bytes(&padding);
        assert_contains(&key.error(), "ends inside key 0");
        let start = Raw::header(3, 0, 1).string("k");
        let text = start.clone().u32(8).u64(count).bytes(&padding);
        assert_contains(&text.error(), "key k");
        for element in [0, 4, 8, 12] {
            let array = start.clone().u32(9).u32(element).u64(count).bytes(&padding);
            assert_contains(&array.error(), "key k");
        }
        let inner = start.u32(9).u32(8).u64(1).u64(count).bytes(&padding);
        assert_contains(&inner.error(), "key k");
        let name = Raw::header(3, 1, 0).u64(count).bytes(&padding);
        assert_contains(&name.error(), "tensor 0");
    }
}

#[test]
fn keys() {
    let twice = Raw::header(3, 0, 2)
        .string("k")
        .u32(0)
        .bytes(&[1])
        .string("k")
        .u32(0)
        .bytes(&[1]);
    assert_contains(&twice.error(), "key \"k\" occurs twice");
    let empty = Raw::header(3, 0, 1).string("").u32(0).bytes(&[1; 8]);
    assert_contains(&empty.error(), "key 0 has 0 bytes");
    let long = Raw::header(3, 0, 1)
        .string(&"k".repeat(65_536))
        .u32(0)
        .bytes(&[1]);
    assert_contains(&long.error(), "key 0 has 65536 bytes");
    // C code would look this key up as `a`.
    let nul = Raw::header(3, 0, 1).string("a\0b").u32(0).bytes(&[1]);
    assert_contains(&nul.error(), "NUL");
    let foreign = Raw::header(3, 0, 1)
        .u64(2)
        .bytes(&[0xff, 0xfe])
        .u32(0)
        .bytes(&[1]);
    assert_contains(&foreign.error(), "not UTF-8");
}

#[test]
fn value_types() {
    let start = Raw::header(3, 0, 1).string("k");
    let unknown = start.clone().u32(13).bytes(&[0; 16]);
    assert_contains(&unknown.error(), "key k has unknown value type 13");
    let element = start.clone().u32(9).u32(77).u64(0);
    assert_contains(&element.error(), "key k has unknown value type 77");
    let nested = start.u32(9).u32(9).u64(1).u32(0).u64(1).bytes(&[1]);
    assert_contains(&nested.error(), "key k is an array of arrays");
}

#[test]
fn alignments() {
    let start = Raw::header(3, 0, 1).string("general.alignment");
    assert_contains(&start.clone().u32(4).u32(0).error(), "not a power of two");
    assert_contains(&start.clone().u32(4).u32(48).error(), "not a power of two");
    assert_contains(
        &start.clone().u32(5).u32(32).error(),
        "has type i32, expected u32",
    );
    assert_contains(
        &start.clone().u32(10).u64(32).error(),
        "has type u64, expected u32",
    );
    File::from_bytes(start.u32(4).u32(1 << 31).0).unwrap();
    let huge = Raw::header(3, 1, 1)
        .string("general.alignment")
        .u32(4)
        .u32(1 << 31);
    assert_contains(
        &huge.tensor("t", &[1], 24, 0).bytes(&[0; 64]).error(),
        "ends after the file",
    );
}

#[test]
fn tensor_names() {
    let long = Raw::header(3, 1, 0)
        .tensor(&"n".repeat(64), &[1], 0, 0)
        .pad(32)
        .u64(0);
    assert_contains(&long.error(), "64 bytes");
    let nul = Raw::header(3, 1, 0)
        .tensor("a\0b", &[1], 0, 0)
        .pad(32)
        .u64(0);
    assert_contains(&nul.error(), "NUL");
    let twice = Raw::header(3, 2, 0)
        .tensor("t", &[1], 0, 0)
        .tensor("t", &[1], 0, 32);
    assert_contains(
        &twice.pad(32).bytes(&[0; 64]).error(),
        "tensor \"t\" occurs twice",
    );
    let longest = Raw::header(3, 1, 0)
        .tensor(&"n".repeat(63), &[1], 0, 0)
        .pad(32)
        .u64(0);
    File::from_bytes(longest.0).unwrap();
}

#[test]
fn tensor_shapes() {
    let file = |dims: &[u64], ty| Raw::header(3, 1, 0).tensor("t", dims, ty, 0).pad(32).u64(0);
    assert_contains(&file(&[1; 5], 0).error(), "5 dimensions");
    for dims in [
        vec![u64::MAX],
        vec![1 << 63],
        vec![8, (1 << 42) + 1, 1 << 22],
        vec![1 << 32, 1 << 32],
        vec![1 << 62, 4, 1, 0],
        vec![1 << 61],
    ] {
        assert_contains(&file(&dims, 0).error(), "too large");
    }
    assert_contains(&file(&[33], 2).error(), "no multiple of 32 per row");
    for ty in [4, 5, 31, 36, 43, u32::MAX, 1 << 31] {
        assert_contains(&file(&[32], ty).error(), "unknown or removed type");
    }
    File::from_bytes(file(&[], 0).0).unwrap();
    File::from_bytes(file(&[0, 7], 0).0).unwrap();
}

#[test]
fn tensor_places() {
    let start = Raw::header(3, 2, 0).tensor("a", &[1], 0, 0);
    for offset in [0, 4, 31, 64, u64::MAX, u64::MAX - 31] {
        let file = start
            .clone()
            .tensor("b", &[1], 0, offset)
            .pad(32)
            .bytes(&[0; 128]);
        assert_contains(&file.error(), "tensor b has offset");
    }
    let outside = start
        .clone()
        .tensor("b", &[2], 0, 32)
        .pad(32)
        .bytes(&[0; 39]);
    assert_contains(&outside.error(), "the data of tensor b (8 bytes");
    let huge = start.tensor("b", &[1 << 60], 0, 32).pad(32).bytes(&[0; 64]);
    assert_contains(&huge.error(), "the data of tensor b");
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = || proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        any::<u8>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::num::f32::NORMAL.prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        text().prop_map(Value::String),
        proptest::collection::vec(any::<i32>(), 0..9).prop_map(Value::from),
        proptest::collection::vec(any::<bool>(), 0..9).prop_map(Value::from),
        proptest::collection::vec(text(), 0..9)
            .prop_map(|texts| Value::Array(Array::String(texts))),
    ]
}

fn any_tensor() -> impl Strategy<Value = (Vec<u64>, TensorType, u8)> {
    let types = proptest::sample::select(TensorType::ALL);
    (
        types,
        proptest::collection::vec(0..4_u64, 1..=4),
        any::<u8>(),
    )
        .prop_map(|(ty, mut dims, fill)| {
            dims[0] *= ty.block_size();
            (dims, ty, fill)
        })
}

fn same_after_reading(writer: &Writer, file: &File) -> Result<bool> {
    let mut copy = Writer::new();
    for (key, value) in file.metadata() {
        copy.set(key, value.to_value())?;
    }
    for tensor in file.tensors() {
        let data = file.tensor_data(tensor).to_vec();
        copy.tensor(tensor.name(), tensor.dims(), tensor.tensor_type(), data)?;
    }
    Ok(copy.to_bytes() == writer.to_bytes())
}

proptest! {
    #[test]
    fn reading_and_writing_again_gives_the_same_file(
        values in proptest::collection::btree_map("[a-z.]{1,12}", any_value(), 0..12),
        tensors in proptest::collection::btree_map("[a-z.]{1,12}", any_tensor(), 0..6),
        alignment in 0..10_u32,
    ) {
        let mut writer = Writer::new();
        for (key, value) in &values {
            writer.set(key.as_str(), value.clone()).unwrap();
        }
        writer.set("general.alignment", 1_u32 << alignment).unwrap();
        for (name, (dims, ty, fill)) in &tensors {
            let data = vec![*fill; ty.tensor_bytes(dims).unwrap() as usize];
            writer.tensor(name.as_str(), dims, *ty, data).unwrap();
        }
        let file = File::from_bytes(writer.to_bytes()).unwrap();
        prop_assert!(same_after_reading(&writer, &file).unwrap());
        for (key, value) in &values {
            prop_assert_eq!(&file.get(key).unwrap().to_value(), value);
        }
    }

    #[test]
    fn any_bytes_give_a_file_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let with_magic = [b"GGUF\x03\0\0\0".as_slice(), &bytes].concat();
        let _ = File::from_bytes(bytes);
        let _ = File::from_bytes(with_magic);
    }

    #[test]
    fn changed_bytes_never_panic(at in 0..700_usize, value in any::<u8>()) {
        let mut bytes = small_file().to_bytes();
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(file) = File::from_bytes(bytes) {
            for (_, value) in file.metadata() {
                let _ = (value.to_value(), value.to_string());
            }
            for tensor in file.tensors() {
                prop_assert_eq!(file.tensor_data(tensor).len(), tensor.byte_len());
            }
        }
    }
}
