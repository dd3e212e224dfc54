//! Devices that upstream's backends offer.

use super::bindings::{
    ggml_backend_dev_props, ggml_backend_dev_t, lk_device_backend, lk_device_count, lk_device_get,
    lk_device_props,
};
use super::fault::guarded;
use super::model::owned_string;
use crate::error::Result;

/// A device handle. Upstream never frees devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawDevice(pub(super) ggml_backend_dev_t);

// SAFETY: devices live in upstream's registry for the whole process and are only read.
unsafe impl Send for RawDevice {}
// SAFETY: as above.
unsafe impl Sync for RawDevice {}

/// What upstream says about a device.
pub(crate) struct DeviceProps {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) backend: String,
    pub(crate) id: Option<String>,
    pub(crate) kind: u32,
    pub(crate) memory_free: u64,
    pub(crate) memory_total: u64,
}

/// All devices, in upstream's order.
pub(crate) fn devices() -> Result<Vec<(RawDevice, DeviceProps)>> {
    super::init()?;
    let mut count = 0;
    // SAFETY: `count` is a valid place for the result; `init` has run.
    guarded(unsafe { lk_device_count(&mut count) })?;
    (0..count).map(device).collect()
}

fn device(index: usize) -> Result<(RawDevice, DeviceProps)> {
    let mut handle: ggml_backend_dev_t = std::ptr::null_mut();
    // SAFETY: `index` is below the count and devices are never removed.
    guarded(unsafe { lk_device_get(index, &mut handle) })?;
    // SAFETY: all-zero is a valid value of this plain C struct.
    let mut props: ggml_backend_dev_props = unsafe { std::mem::zeroed() };
    // SAFETY: `handle` came from the registry; `props` is a valid place for the result.
    guarded(unsafe { lk_device_props(handle, &mut props) })?;
    let mut backend = std::ptr::null();
    // SAFETY: as above.
    guarded(unsafe { lk_device_backend(handle, &mut backend) })?;
    let props = DeviceProps {
        name: owned_string(props.name).unwrap_or_default(),
        description: owned_string(props.description).unwrap_or_default(),
        backend: owned_string(backend).unwrap_or_default(),
        id: owned_string(props.device_id),
        kind: props.type_,
        memory_free: props.memory_free as u64,
        memory_total: props.memory_total as u64,
    };
    Ok((RawDevice(handle), props))
}
