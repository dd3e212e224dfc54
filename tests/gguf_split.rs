//! Split models: names, missing files, and files that do not belong together.

use std::path::{Path, PathBuf};

use llamakit::ErrorKind;
use llamakit::gguf::{
    File, Overrides, SplitName, TensorType, Value, Writer, join_shards, open_shards, shard_paths,
    validate_shards,
};

/// A folder of its own for each test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("llamakit-split-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn shard(&self, number: u16) -> PathBuf {
        self.0.join(format!("model-{number:05}-of-00003.gguf"))
    }

    /// Writes three files with one tensor each; `edit` may change keys of each.
    fn write(&self, edit: impl Fn(u16, &mut Writer)) {
        for number in 0..3_u16 {
            let mut writer = Writer::new();
            writer.set("split.no", number).unwrap();
            writer.set("split.count", 3_u16).unwrap();
            writer.set("split.tensors.count", 3_i32).unwrap();
            let name = format!("blk.{number}.x.weight");
            writer
                .tensor(name, &[1, 2], TensorType::F32, vec![0; 8])
                .unwrap();
            edit(number, &mut writer);
            writer.write_file(self.shard(number + 1)).unwrap();
        }
    }

    fn error(&self) -> String {
        open_shards(self.shard(1)).unwrap_err().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn names() {
    let name = SplitName::parse("dir/a-00002-of-00003.gguf").unwrap();
    assert_eq!((name.number(), name.count()), (2, 3));
    let paths: Vec<PathBuf> = name.paths().collect();
    assert_eq!(paths.len(), 3);
    assert_eq!(paths[0], Path::new("dir/a-00001-of-00003.gguf"));
    for other in [
        "a.gguf",
        "a-00001-of-00003.bin",
        "a-1-of-3.gguf",
        "a-00000-of-00003.gguf",
        "a-00004-of-00003.gguf",
        "a-+0001-of-00003.gguf",
        "a-99999-of-99999.gguf",
        "-00001-of-00003.gguf",
    ] {
        assert_eq!(SplitName::parse(other), None, "{other}");
    }
}

#[test]
fn all_files_are_opened_in_order() {
    let folder = Folder::new("good");
    folder.write(|_, _| {});
    assert_eq!(shard_paths(folder.shard(2)).unwrap().len(), 3);
    let files = open_shards(folder.shard(1)).unwrap();
    assert_eq!(files.len(), 3);
    assert!(files[2].tensor("blk.2.x.weight").is_some());
    let error = validate_shards(&files, &Overrides::new()).unwrap_err();
    assert!(error.message().contains("general.architecture"), "{error}");
}

#[test]
fn a_file_without_split_keys_is_a_whole_model() {
    let folder = Folder::new("single");
    let path = folder.0.join("single.gguf");
    Writer::new().write_file(&path).unwrap();
    assert_eq!(open_shards(&path).unwrap().len(), 1);
    assert_eq!(
        shard_paths(&path).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new("missing");
    folder.write(|_, _| {});
    std::fs::remove_file(folder.shard(2)).unwrap();
    let error = open_shards(folder.shard(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.path(), Some(folder.shard(2).as_path()));
    assert!(error.message().contains("file 2 of 3"), "{error}");
}

#[test]
fn files_that_do_not_belong_together() {
    let folder = Folder::new("mixed");
    let cases: [(&str, u16, Value, &str); 6] = [
        ("split.no", 1, 2_u16.into(), "split.no is 2, expected 1"),
        (
            "split.no",
            1,
            1_u32.into(),
            "split.no has type u32, expected u16",
        ),
        ("split.no", 0, 1_u16.into(), "opened by its first file"),
        (
            "split.count",
            0,
            4_u16.into(),
            "split.count is 4, but the name says 3",
        ),
        (
            "split.count",
            0,
            3_u32.into(),
            "split.count has type u32, expected u16",
        ),
        (
            "split.tensors.count",
            0,
            4_i32.into(),
            "is 4, but the files have 3 tensors",
        ),
    ];
    for (key, number, value, part) in cases {
        folder.write(|at, writer| {
            if at == number {
                writer.set(key, value.clone()).unwrap();
            }
        });
        let error = folder.error();
        assert!(error.contains(part), "{error} does not say {part}");
    }
    folder.write(|number, writer| {
        if number == 2 {
            writer
                .tensor("blk.0.x.weight", &[1], TensorType::F32, vec![0; 4])
                .unwrap();
        }
    });
    assert!(
        folder
            .error()
            .contains("tensor blk.0.x.weight is in more than one file")
    );
    let second = open_shards(folder.shard(2)).unwrap_err();
    assert!(
        second.message().contains("opened by its first file"),
        "{second}"
    );
}

#[test]
fn shards_become_one_file() {
    let folder = Folder::new("join");
    folder.write(|number, writer| {
        if number == 0 {
            writer.set("general.architecture", "x").unwrap();
            writer.set("x.list", vec!["a", "", "bc"]).unwrap();
            writer.set("x.numbers", vec![1_u16, 2, 3]).unwrap();
            writer.set("x.flag", true).unwrap();
        }
        writer.set("split.tensors.count", 6_i32).unwrap();
        let data = vec![number as u8; 12];
        writer
            .tensor(format!("y{number}"), &[3], TensorType::F32, data)
            .unwrap();
    });
    let files = open_shards(folder.shard(1)).unwrap();
    let mut bytes = Vec::new();
    join_shards(&files, &mut bytes).unwrap();

    let joined = File::from_bytes(bytes).unwrap();
    let keys: Vec<String> = joined
        .metadata()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(
        keys,
        [
            "general.architecture=\"x\"",
            "x.list=[\"a\", \"\", \"bc\"]",
            "x.numbers=[1, 2, 3]",
            "x.flag=true"
        ]
    );
    assert_eq!(joined.tensors().len(), 6);
    for number in 0..3_u8 {
        let tensor = joined.tensor(&format!("y{number}")).unwrap();
        assert_eq!(tensor.dims(), [3]);
        assert_eq!(joined.tensor_data(tensor), [number; 12]);
    }

    // One file alone is only copied; files in a wrong order are none of a model.
    let mut again = Vec::new();
    join_shards(std::slice::from_ref(&joined), &mut again).unwrap();
    assert_eq!(again, joined.bytes());
    let swapped = [2, 1, 3].map(|number| File::open(folder.shard(number)).unwrap());
    let error = join_shards(&swapped, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidGguf);
    assert_eq!(
        join_shards(&[], &mut Vec::new()).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}
