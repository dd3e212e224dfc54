//! The call that writes a model file anew with other tensor types.

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use super::bindings::{lk_importance, lk_quantize, lk_quantize_params, lk_tensor_rule};
use super::fault::guarded;
use super::log;
use super::model::{c_overrides, c_path};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{OverrideValue, TensorType};

/// `llama_model_quantize_params` in Rust types; `None` and empty leave upstream's default.
pub(crate) struct RawQuantize<'a> {
    pub(crate) threads: u32,
    pub(crate) file_type: u32,
    pub(crate) output_type: Option<TensorType>,
    pub(crate) token_embedding_type: Option<TensorType>,
    pub(crate) allow_requantize: bool,
    pub(crate) quantize_output: bool,
    pub(crate) only_copy: bool,
    pub(crate) pure: bool,
    pub(crate) importance: Vec<(&'a str, &'a [f32])>,
    pub(crate) rules: &'a [(String, TensorType)],
    pub(crate) overrides: Vec<(String, OverrideValue)>,
    pub(crate) layers_left_out: &'a [i32],
    pub(crate) max_buffer: usize,
}

/// What is told of each tensor: its number from 1, how many there are, and its name.
pub(crate) type Told<'a> = &'a mut dyn FnMut(i32, i32, &str) -> ControlFlow<()>;

/// What the callback needs, on the stack of `quantize`.
struct Progress<'a> {
    told: Told<'a>,
    stopped: bool,
    panic: Option<Box<dyn Any + Send>>,
}

unsafe extern "C" fn on_tensor(
    number: i32,
    count: i32,
    text: *const c_char,
    user_data: *mut c_void,
) -> bool {
    // SAFETY: `quantize` passes a pointer to a `Progress` that outlives the call, and the shim
    // calls back on the calling thread only.
    let progress = unsafe { &mut *user_data.cast::<Progress<'_>>() };
    // SAFETY: the shim passes a NUL-terminated string that lives for this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // Names are padded with blanks; what follows them is no part of a name of upstream's.
    let name = text.split(" - [").next().unwrap_or_default().trim_end();
    let told = &mut progress.told;
    match catch_unwind(AssertUnwindSafe(|| told(number, count, name))) {
        Ok(ControlFlow::Continue(())) => true,
        Ok(ControlFlow::Break(())) => {
            progress.stopped = true;
            false
        }
        Err(panic) => {
            progress.panic = Some(panic);
            false
        }
    }
}

/// Writes `output` from a validated `input`, of a split model the first file. `told` may stop it.
pub(crate) fn quantize(
    input: &Path,
    output: &Path,
    params: &RawQuantize<'_>,
    told: Told<'_>,
) -> Result<()> {
    super::init()?;
    let (input, output) = (c_path(input)?, c_path(output)?);
    let text = |text: &str, what: &str| {
        CString::new(text).map_err(|_| Error::argument(format!("{what} has a NUL byte: {text:?}")))
    };
    // These live until the end of the function, past the call that reads them.
    let names = params
        .importance
        .iter()
        .map(|(name, _)| text(name, "the name of a tensor"))
        .collect::<Result<Vec<_>>>()?;
    let importance: Vec<lk_importance> = names
        .iter()
        .zip(&params.importance)
        .map(|(name, (_, values))| lk_importance {
            tensor: name.as_ptr(),
            values: values.as_ptr(),
            n_values: values.len(),
        })
        .collect();
    let patterns = params
        .rules
        .iter()
        .map(|(pattern, _)| text(pattern, "the pattern of a rule"))
        .collect::<Result<Vec<_>>>()?;
    let rules: Vec<lk_tensor_rule> = patterns
        .iter()
        .zip(params.rules)
        .map(|(pattern, (_, ty))| lk_tensor_rule {
            pattern: pattern.as_ptr(),
            type_: number(Some(*ty)),
        })
        .collect();
    let overrides = c_overrides(&params.overrides)?;
    let raw = lk_quantize_params {
        n_threads: i32::try_from(params.threads).unwrap_or(i32::MAX),
        ftype: i32::try_from(params.file_type).unwrap_or(i32::MAX),
        output_type: number(params.output_type),
        token_embedding_type: number(params.token_embedding_type),
        allow_requantize: params.allow_requantize,
        quantize_output: params.quantize_output,
        only_copy: params.only_copy,
        pure: params.pure,
        importance: importance.as_ptr(),
        n_importance: importance.len(),
        rules: rules.as_ptr(),
        n_rules: rules.len(),
        overrides: if params.overrides.is_empty() {
            std::ptr::null()
        } else {
            overrides.as_ptr()
        },
        layers_left_out: params.layers_left_out.as_ptr(),
        n_layers_left_out: params.layers_left_out.len(),
        max_buffer: params.max_buffer,
    };
    let mut state = Progress {
        told,
        stopped: false,
        panic: None,
    };
    let mut code = 0;
    let (status, log) = log::capture(|| {
        // SAFETY: the paths are NUL-terminated; `raw` and all that it points to live through the
        // call; `state` outlives it, and is used by the callback alone meanwhile.
        guarded(unsafe {
            lk_quantize(
                input.as_ptr(),
                output.as_ptr(),
                &raw,
                Some(on_tensor),
                (&raw mut state).cast(),
                &mut code,
            )
        })
    });
    if let Some(panic) = state.panic {
        resume_unwind(panic);
    }
    if state.stopped {
        let message = "quantising was cancelled";
        return Err(Error::new(ErrorKind::Cancelled, message));
    }
    status.map_err(|fault| {
        fault
            .into_error(ErrorKind::Upstream, "quantising the model")
            .with_log(&log)
    })?;
    if code != 0 {
        let message = "llama.cpp did not quantise the model";
        return Err(Error::new(ErrorKind::Upstream, message).with_log(log));
    }
    Ok(())
}

fn number(ty: Option<TensorType>) -> i32 {
    ty.and_then(|ty| i32::try_from(ty.id()).ok()).unwrap_or(-1)
}
