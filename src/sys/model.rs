//! The owner of a loaded model.

use std::ffi::{CStr, CString, c_char, c_void};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bindings::{
    LLAMA_KV_OVERRIDE_TYPE_BOOL, LLAMA_KV_OVERRIDE_TYPE_FLOAT, LLAMA_KV_OVERRIDE_TYPE_INT,
    LLAMA_KV_OVERRIDE_TYPE_STR, ggml_backend_dev_t, lk_model_chat_template, lk_model_cls_label,
    lk_model_default_params, lk_model_desc, lk_model_free, lk_model_ftype_name, lk_model_get_info,
    lk_model_info, lk_model_load_from_handle, lk_model_load_from_splits, lk_model_meta_count,
    lk_model_meta_key_by_index, lk_model_meta_val_by_index, llama_model, llama_model_kv_override,
    llama_model_params,
};
use super::device::RawDevice;
use super::fault::{Fault, guarded};
use super::log;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::OverrideValue;

/// Upstream reads this many entries of `tensor_split`, `llama_max_devices()`.
pub(crate) const MAX_DEVICES: usize = 16;

/// `llama_model_params` in Rust types; `None` and empty leave upstream's default.
pub(crate) struct RawModelParams {
    pub(crate) gpu_layers: Option<u32>,
    pub(crate) split_mode: u32,
    pub(crate) load_mode: i32,
    pub(crate) main_gpu: u32,
    pub(crate) tensor_split: Vec<f32>,
    pub(crate) devices: Option<Vec<RawDevice>>,
    pub(crate) overrides: Vec<(String, OverrideValue)>,
    pub(crate) check_tensors: bool,
    pub(crate) vocab_only: bool,
    pub(crate) use_extra_buffers: bool,
    pub(crate) no_alloc: bool,
}

/// Where the bytes of a model are.
pub(crate) enum LoadSource<'a> {
    /// One open file, already validated.
    File(&'a File),
    /// All shards in order.
    Splits(&'a [PathBuf]),
}

/// A loaded model.
pub(crate) struct RawModel {
    pointer: NonNull<llama_model>,
    // Adapter changes and context creation write into the model; see `lock`.
    mutex: Mutex<()>,
}

// SAFETY: after loading, upstream only reads the model; the exceptions (adapter init and free,
// context creation) take the mutex.
unsafe impl Send for RawModel {}
// SAFETY: as above.
unsafe impl Sync for RawModel {}

/// What the progress callback needs, on the stack of `load`.
struct Progress<'a> {
    report: &'a mut dyn FnMut(f32) -> ControlFlow<()>,
    cancelled: bool,
    panic: Option<Box<dyn std::any::Any + Send>>,
}

unsafe extern "C" fn on_progress(fraction: f32, user_data: *mut c_void) -> bool {
    // SAFETY: `load` passes a pointer to a `Progress` that outlives the load call, and upstream
    // calls back on the loading thread only.
    let progress = unsafe { &mut *user_data.cast::<Progress<'_>>() };
    let report = &mut progress.report;
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| report(fraction))) {
        Ok(ControlFlow::Continue(())) => true,
        Ok(ControlFlow::Break(())) => {
            progress.cancelled = true;
            false
        }
        Err(panic) => {
            progress.panic = Some(panic);
            false
        }
    }
}

impl RawModel {
    /// Loads a model. `progress` is told a fraction in 0..=1 and may stop the load.
    pub(crate) fn load(
        source: &LoadSource<'_>,
        params: &RawModelParams,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self> {
        super::init()?;
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut raw: llama_model_params = unsafe { std::mem::zeroed() };
        // SAFETY: `raw` is a place for the result.
        guarded(unsafe { lk_model_default_params(&mut raw) })?;

        // These live until the end of the function, past the load call that reads them.
        let mut devices: Vec<ggml_backend_dev_t> = Vec::new();
        if let Some(chosen) = &params.devices {
            devices.extend(chosen.iter().map(|device| device.0));
            devices.push(std::ptr::null_mut());
            raw.devices = devices.as_mut_ptr();
        }
        let mut tensor_split = [0.0_f32; MAX_DEVICES];
        if !params.tensor_split.is_empty() {
            tensor_split[..params.tensor_split.len()].copy_from_slice(&params.tensor_split);
            raw.tensor_split = tensor_split.as_ptr();
        }
        let overrides = c_overrides(&params.overrides)?;
        if !params.overrides.is_empty() {
            raw.kv_overrides = overrides.as_ptr();
        }
        if let Some(layers) = params.gpu_layers {
            raw.n_gpu_layers = i32::try_from(layers).unwrap_or(i32::MAX);
        }
        raw.split_mode = params.split_mode;
        raw.load_mode = params.load_mode;
        raw.main_gpu = i32::try_from(params.main_gpu).unwrap_or(i32::MAX);
        raw.check_tensors = params.check_tensors;
        raw.vocab_only = params.vocab_only;
        raw.use_extra_bufts = params.use_extra_buffers;
        raw.no_alloc = params.no_alloc;

        let mut state = Progress {
            report: progress,
            cancelled: false,
            panic: None,
        };
        raw.progress_callback = Some(on_progress);
        raw.progress_callback_user_data = (&raw mut state).cast();

        let mut pointer = std::ptr::null_mut();
        let (status, text) = log::capture(|| load_source(source, &raw, &mut pointer));
        if let Some(panic) = state.panic.take() {
            if let Some(pointer) = NonNull::new(pointer) {
                drop(Self {
                    pointer,
                    mutex: Mutex::new(()),
                });
            }
            std::panic::resume_unwind(panic);
        }
        if state.cancelled {
            return Err(Error::new(ErrorKind::Cancelled, "the load was cancelled"));
        }
        status?.map_err(|fault| {
            fault
                .into_error(ErrorKind::ModelLoad, "loading the model")
                .with_log(&text)
        })?;
        let pointer = NonNull::new(pointer).ok_or_else(|| {
            Error::new(ErrorKind::ModelLoad, "upstream refused the model").with_log(text)
        })?;
        Ok(Self {
            pointer,
            mutex: Mutex::new(()),
        })
    }

    /// Excludes the few operations that write into a shared model.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn as_ptr(&self) -> *mut llama_model {
        self.pointer.as_ptr()
    }

    pub(crate) fn info(&self) -> Result<lk_model_info, Fault> {
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut info: lk_model_info = unsafe { std::mem::zeroed() };
        // SAFETY: the model is alive; `info` is a place for the result.
        guarded(unsafe { lk_model_get_info(self.as_ptr(), &mut info) })?;
        Ok(info)
    }

    /// Upstream's description, such as `llama 135M Q4_1`.
    pub(crate) fn description(&self) -> Result<String, Fault> {
        fill_string(|buffer, size, length| {
            // SAFETY: the model is alive; upstream writes at most `size` bytes.
            unsafe { lk_model_desc(self.as_ptr(), buffer, size, length) }
        })
        .map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    /// The name of the file type, such as `Q4_K - Medium`.
    pub(crate) fn ftype_name(&self) -> Result<String, Fault> {
        let mut name = std::ptr::null();
        // SAFETY: the model is alive; `name` is a place for the result.
        guarded(unsafe { lk_model_ftype_name(self.as_ptr(), &mut name) })?;
        Ok(owned_string(name).unwrap_or_default())
    }

    /// The default chat template, or the one called `name`.
    pub(crate) fn chat_template(&self, name: Option<&CStr>) -> Result<Option<String>, Fault> {
        let mut text = std::ptr::null();
        let name = name.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: the model is alive; `name` is NULL or NUL-terminated.
        guarded(unsafe { lk_model_chat_template(self.as_ptr(), name, &mut text) })?;
        Ok(owned_string(text))
    }

    /// The label of a classifier output. `index` must be below `n_cls_out`.
    pub(crate) fn classifier_label(&self, index: u32) -> Result<Option<String>, Fault> {
        let mut text = std::ptr::null();
        // SAFETY: the model is alive and the caller checked the index.
        guarded(unsafe { lk_model_cls_label(self.as_ptr(), index, &mut text) })?;
        Ok(owned_string(text))
    }

    /// Scalar metadata as upstream prints it.
    pub(crate) fn metadata(&self) -> Result<Vec<(String, String)>, Fault> {
        let mut count = 0;
        // SAFETY: the model is alive; `count` is a place for the result.
        guarded(unsafe { lk_model_meta_count(self.as_ptr(), &mut count) })?;
        (0..count)
            .map(|index| {
                let key = fill_string(|buffer, size, length| {
                    // SAFETY: as in `description`; `index` is below the count.
                    unsafe {
                        lk_model_meta_key_by_index(self.as_ptr(), index, buffer, size, length)
                    }
                })?;
                let value = fill_string(|buffer, size, length| {
                    // SAFETY: as above.
                    unsafe {
                        lk_model_meta_val_by_index(self.as_ptr(), index, buffer, size, length)
                    }
                })?;
                Ok((
                    String::from_utf8_lossy(&key).into_owned(),
                    String::from_utf8_lossy(&value).into_owned(),
                ))
            })
            .collect()
    }
}

impl Drop for RawModel {
    fn drop(&mut self) {
        // SAFETY: loaded by `load` and freed once; contexts, adapters and vocabularies hold an
        // Arc of this owner, so none is left.
        let _ = unsafe { lk_model_free(self.pointer.as_ptr()) };
    }
}

/// The operating system's handle of an open file, for the shim to duplicate.
pub(super) fn file_handle(file: &File) -> isize {
    #[cfg(windows)]
    {
        std::os::windows::io::AsRawHandle::as_raw_handle(file) as isize
    }
    #[cfg(not(windows))]
    {
        std::os::fd::AsRawFd::as_raw_fd(file) as isize
    }
}

fn load_source(
    source: &LoadSource<'_>,
    params: &llama_model_params,
    out: &mut *mut llama_model,
) -> Result<Result<(), Fault>> {
    match source {
        LoadSource::File(file) => {
            // SAFETY: the parameters and everything they point to live in `load`; the file is
            // open for the whole call.
            Ok(guarded(unsafe {
                lk_model_load_from_handle(file_handle(file), params, out)
            }))
        }
        LoadSource::Splits(paths) => {
            let paths = paths
                .iter()
                .map(|path| c_path(path))
                .collect::<Result<Vec<_>>>()?;
            let mut pointers: Vec<*const c_char> = paths.iter().map(|path| path.as_ptr()).collect();
            // SAFETY: as above; the paths are NUL-terminated and live through the call.
            Ok(guarded(unsafe {
                lk_model_load_from_splits(pointers.as_mut_ptr(), pointers.len(), params, out)
            }))
        }
    }
}

/// A path for C. Upstream takes UTF-8 on Windows and bytes elsewhere.
pub(super) fn c_path(path: &Path) -> Result<CString> {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
    #[cfg(not(unix))]
    let bytes = path
        .to_str()
        .ok_or_else(|| Error::argument("the path is not valid Unicode").with_path(path))?
        .as_bytes()
        .to_vec();
    CString::new(bytes).map_err(|_| Error::argument("the path contains a NUL byte").with_path(path))
}

/// The overrides as upstream's array, closed by an entry with an empty key.
pub(super) fn c_overrides(
    overrides: &[(String, OverrideValue)],
) -> Result<Vec<llama_model_kv_override>> {
    // SAFETY: all-zero is a valid value of this plain C struct, and the terminator's.
    let empty = || unsafe { std::mem::zeroed::<llama_model_kv_override>() };
    let mut out = Vec::with_capacity(overrides.len() + 1);
    for (key, value) in overrides {
        let mut raw = empty();
        copy_text(key, &mut raw.key, "override key")?;
        match value {
            OverrideValue::Int(value) => {
                raw.tag = LLAMA_KV_OVERRIDE_TYPE_INT;
                raw.__bindgen_anon_1.val_i64 = *value;
            }
            OverrideValue::Float(value) => {
                raw.tag = LLAMA_KV_OVERRIDE_TYPE_FLOAT;
                raw.__bindgen_anon_1.val_f64 = *value;
            }
            OverrideValue::Bool(value) => {
                raw.tag = LLAMA_KV_OVERRIDE_TYPE_BOOL;
                raw.__bindgen_anon_1.val_bool = *value;
            }
            OverrideValue::Str(value) => {
                raw.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
                let mut text = [0; 128];
                copy_text(value, &mut text, key)?;
                raw.__bindgen_anon_1.val_str = text;
            }
        }
        out.push(raw);
    }
    out.push(empty());
    Ok(out)
}

fn copy_text(text: &str, out: &mut [c_char; 128], what: &str) -> Result<()> {
    if text.len() >= out.len() || text.contains('\0') {
        return Err(Error::argument(format!(
            "{what}: at most {} bytes without NUL, not {} bytes",
            out.len() - 1,
            text.len()
        )));
    }
    for (to, from) in out.iter_mut().zip(text.bytes()) {
        *to = from as c_char;
    }
    Ok(())
}

/// Calls a function of the `(buffer, size) -> length` kind until the buffer is large enough.
fn fill_string(
    mut call: impl FnMut(*mut c_char, usize, &mut i32) -> i32,
) -> Result<Vec<u8>, Fault> {
    let mut buffer = vec![0_u8; 256];
    loop {
        let mut length = 0;
        guarded(call(buffer.as_mut_ptr().cast(), buffer.len(), &mut length))?;
        // Negative: there is no such entry.
        let length = usize::try_from(length).unwrap_or(0);
        if length < buffer.len() {
            buffer.truncate(length);
            return Ok(buffer);
        }
        buffer.resize(length + 1, 0);
    }
}

/// Copies a string of upstream's; `None` for NULL.
pub(super) fn owned_string(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: callers pass what upstream just returned: NUL-terminated strings that live as long as
    // the model, or the device, that they belong to.
    Some(
        unsafe { CStr::from_ptr(pointer) }
            .to_string_lossy()
            .into_owned(),
    )
}
