//! Edits that leave the format whole: other values, types, lengths and shapes in a file that is
//! then written anew.

use std::fmt;

use llamakit::gguf::{Array, File, TensorType, Value, Writer};

/// One change of one key or tensor.
pub(super) enum Edit {
    RemoveKey(usize),
    SetKey(usize, Value),
    RemoveTensor(usize),
    Rename(usize, String),
    Retype(usize, TensorType),
    Reshape(usize, Vec<u64>),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoveKey(index) => write!(f, "key {index} removed"),
            Self::SetKey(index, value) => {
                let text: String = format!("{value:?}").chars().take(100).collect();
                write!(f, "key {index} set to {text}")
            }
            Self::RemoveTensor(index) => write!(f, "tensor {index} removed"),
            Self::Rename(index, name) => write!(f, "tensor {index} renamed to {name}"),
            Self::Retype(index, ty) => write!(f, "tensor {index} given type {ty}"),
            Self::Reshape(index, dims) => write!(f, "tensor {index} given dimensions {dims:?}"),
        }
    }
}

/// What a file holds, to write it again with one change.
pub(super) struct Source {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

struct Tensor {
    name: String,
    dims: Vec<u64>,
    ty: TensorType,
    data: Vec<u8>,
}

/// The contents of a valid file, and all edits of it.
pub(super) fn all(bytes: &[u8]) -> (Source, Vec<Edit>) {
    let file = File::from_bytes(bytes).expect("the original must be a valid GGUF file");
    let source = Source {
        metadata: file
            .metadata()
            .map(|(key, value)| (key.to_owned(), value.to_value()))
            .collect(),
        tensors: file
            .tensors()
            .iter()
            .map(|tensor| Tensor {
                name: tensor.name().to_owned(),
                dims: tensor.dims().to_vec(),
                ty: tensor.tensor_type(),
                data: file.tensor_data(tensor).to_vec(),
            })
            .collect(),
    };
    let mut edits = Vec::new();
    for (index, (_, value)) in source.metadata.iter().enumerate() {
        edits.push(Edit::RemoveKey(index));
        let values = other_values(value)
            .into_iter()
            .filter(|other| other != value);
        edits.extend(values.map(|value| Edit::SetKey(index, value)));
    }
    for (index, tensor) in source.tensors.iter().enumerate() {
        edits.push(Edit::RemoveTensor(index));
        edits.push(Edit::Rename(index, format!("{}.x", tensor.name)));
        let types = TensorType::ALL.iter().filter(|ty| **ty != tensor.ty);
        edits.extend(types.map(|&ty| Edit::Retype(index, ty)));
        edits.extend(
            other_shapes(&tensor.dims)
                .into_iter()
                .map(|dims| Edit::Reshape(index, dims)),
        );
    }
    (source, edits)
}

/// Values of every type, and those near the old one.
fn other_values(old: &Value) -> Vec<Value> {
    let mut values: Vec<Value> = vec![
        1_u8.into(),
        1_u16.into(),
        (-1_i32).into(),
        1_u64.into(),
        1.0_f64.into(),
        true.into(),
        false.into(),
        "".into(),
        "x".into(),
        vec![1_u32, 0].into(),
        vec![1.0_f32].into(),
        vec!["x", "x"].into(),
        Vec::<u8>::new().into(),
    ];
    let floats = [
        0.0,
        -0.0,
        -1.0,
        -1e-5,
        1e-30,
        1e30,
        f32::MAX,
        f32::NAN,
        f32::INFINITY,
    ];
    let limits = [
        0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 63, 64, 255, 513, 1025, 4096, 65_536,
    ];
    let large = [
        1 << 20,
        1 << 24,
        1 << 30,
        i32::MAX as u32,
        1 << 31,
        u32::MAX,
    ];
    match old {
        Value::U32(old) => {
            let near = [
                old.wrapping_sub(1),
                old.wrapping_add(1),
                old.wrapping_mul(2),
                old / 2,
            ];
            let numbers = limits.into_iter().chain(large).chain(near);
            values.extend(numbers.map(Value::U32));
        }
        Value::F32(_) => values.extend(floats.map(Value::F32)),
        Value::String(_) => {
            let texts = [
                "llama",
                "gemma3",
                "mamba",
                "bert",
                "clip",
                "gpt2",
                "t5",
                "rwkv",
                "plamo2",
                "test",
                "none",
                "no_vocab",
                "yarn",
                "longrope",
                "default",
                "deepseek-llm",
                "kimi-k2",
            ];
            values.extend(texts.map(Value::from));
        }
        Value::Array(array) => values.extend(other_arrays(array)),
        _ => {}
    }
    values
}

/// Shorter, longer, repeated and extreme arrays of the same element type.
fn other_arrays(old: &Array) -> Vec<Value> {
    fn variants<T: Clone>(old: &[T], extremes: &[T]) -> Vec<Vec<T>> {
        let mut arrays = vec![
            Vec::new(),
            old[..old.len() / 2].to_vec(),
            [old, old].concat(),
        ];
        if let Some((last, shorter)) = old.split_last() {
            arrays.push(shorter.to_vec());
            arrays.push([old, std::slice::from_ref(last)].concat());
        }
        let places = [0, old.len() / 2, old.len().saturating_sub(1)];
        for extreme in extremes {
            arrays.push(vec![extreme.clone(); old.len()]);
            for &place in places.iter().filter(|&&place| place < old.len()) {
                let mut array = old.to_vec();
                array[place] = extreme.clone();
                arrays.push(array);
            }
        }
        arrays
    }
    match old {
        Array::U8(old) => variants(old, &[0, 255])
            .into_iter()
            .map(Value::from)
            .collect(),
        Array::U32(old) => variants(old, &[0, 1, u32::MAX, 1 << 30])
            .into_iter()
            .map(Value::from)
            .collect(),
        Array::I32(old) => {
            let extremes = [0, 1, 2, 3, 4, 5, 6, 7, -1, i32::MIN, i32::MAX];
            variants(old, &extremes)
                .into_iter()
                .map(Value::from)
                .collect()
        }
        Array::F32(old) => {
            let extremes = [0.0, f32::NAN, f32::INFINITY, -f32::MAX];
            variants(old, &extremes)
                .into_iter()
                .map(Value::from)
                .collect()
        }
        Array::Bool(old) => variants(old, &[false, true])
            .into_iter()
            .map(Value::from)
            .collect(),
        Array::String(old) => {
            let texts: [&[u8]; 10] = [
                b"",
                b"x",
                b"a b",
                b" ",
                b"<0x-1>",
                b"<0x0A>",
                b"<0",
                b"\0",
                b"\xff\xfe",
                b"[EMPTY_1]",
            ];
            let mut extremes = texts.map(<[u8]>::to_vec).to_vec();
            extremes.push(vec![b'a'; 5000]);
            extremes.extend(old.first().cloned());
            variants(old, &extremes)
                .into_iter()
                .map(Value::from)
                .collect()
        }
        _ => Vec::new(),
    }
}

fn other_shapes(old: &[u64]) -> Vec<Vec<u64>> {
    let mut shapes = vec![
        old.iter().rev().copied().collect(),
        [old, &[1]].concat(),
        vec![],
    ];
    for place in 0..old.len() {
        for dim in [
            0,
            1,
            old[place] / 2,
            old[place] + 1,
            old[place] * 2,
            old[place] + 32,
        ] {
            let mut dims = old.to_vec();
            dims[place] = dim;
            shapes.push(dims);
        }
    }
    shapes.retain(|dims| dims != old);
    shapes
}

impl Source {
    /// The file with this edit; `None` when such a file cannot be written.
    pub(super) fn apply(&self, edit: &Edit) -> Option<Vec<u8>> {
        let mut writer = Writer::new();
        for (index, (key, value)) in self.metadata.iter().enumerate() {
            match edit {
                Edit::RemoveKey(at) if *at == index => continue,
                Edit::SetKey(at, other) if *at == index => writer.set(key.as_str(), other.clone()),
                _ => writer.set(key.as_str(), value.clone()),
            }
            .ok()?;
        }
        for (index, tensor) in self.tensors.iter().enumerate() {
            let (mut name, mut dims, mut ty) = (&tensor.name, &tensor.dims, tensor.ty);
            match edit {
                Edit::RemoveTensor(at) if *at == index => continue,
                Edit::Rename(at, other) if *at == index => name = other,
                Edit::Retype(at, other) if *at == index => ty = *other,
                Edit::Reshape(at, other) if *at == index => dims = other,
                _ => {}
            }
            let mut data = tensor.data.clone();
            data.resize(ty.tensor_bytes(dims)? as usize, 0);
            writer.tensor(name.as_str(), dims, ty, data).ok()?;
        }
        Some(writer.to_bytes())
    }
}
