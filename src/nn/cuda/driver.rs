//! NVIDIA's driver, found when the program runs: `libcuda.so.1` (or `nvcuda.dll`) and the few of its functions that the
//! engine calls.
//!
//! In: an ordinal. Out: a [`Device`], and memory, streams and events on it, each given back when it is dropped. Nothing else
//! of NVIDIA's is needed: no toolkit, no cuDNN. Called by the rest of [`super`]. The functions and their codes are those of
//! the CUDA Driver API reference.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::error::{CallError, Error};
use super::ptx;

mod resources;

pub(super) use resources::{Argument, Event, Memory, Pinned, Stream};

type Handle = *mut c_void;

macro_rules! api {
    ($($name:ident = $symbol:literal ( $($arg:ty),* );)*) => {
        /// The driver's functions.
        struct Api { $($name: unsafe extern "C" fn($($arg),*) -> c_int,)* _library: libloading::Library }

        impl Api {
            fn load() -> Result<Api, libloading::Error> {
                let names = if cfg!(windows) { ["nvcuda.dll"; 2] } else { ["libcuda.so.1", "libcuda.so"] };
                // SAFETY: loading NVIDIA's driver runs its initialisers, which have no precondition; the symbols have the
                // types that the Driver API reference gives them, and the library is kept as long as they are.
                unsafe {
                    let library = libloading::Library::new(names[0]).or_else(|first| {
                        libloading::Library::new(names[1]).map_err(|_| first)
                    })?;
                    Ok(Api { $($name: *library.get(concat!($symbol, "\0").as_bytes())?,)* _library: library })
                }
            }
        }
    };
}

api! {
    init = "cuInit"(c_uint);
    driver_version = "cuDriverGetVersion"(*mut c_int);
    device_count = "cuDeviceGetCount"(*mut c_int);
    device_get = "cuDeviceGet"(*mut c_int, c_int);
    device_name = "cuDeviceGetName"(*mut c_char, c_int, c_int);
    device_memory = "cuDeviceTotalMem_v2"(*mut usize, c_int);
    device_attribute = "cuDeviceGetAttribute"(*mut c_int, c_int, c_int);
    context_retain = "cuDevicePrimaryCtxRetain"(*mut Handle, c_int);
    context_set = "cuCtxSetCurrent"(Handle);
    memory_info = "cuMemGetInfo_v2"(*mut usize, *mut usize);
    module_load = "cuModuleLoadData"(*mut Handle, *const c_void);
    module_function = "cuModuleGetFunction"(*mut Handle, Handle, *const c_char);
    memory_alloc = "cuMemAlloc_v2"(*mut u64, usize);
    memory_free = "cuMemFree_v2"(u64);
    host_alloc = "cuMemHostAlloc"(*mut Handle, usize, c_uint);
    host_free = "cuMemFreeHost"(Handle);
    upload = "cuMemcpyHtoD_v2"(u64, *const c_void, usize);
    upload_async = "cuMemcpyHtoDAsync_v2"(u64, *const c_void, usize, Handle);
    download_async = "cuMemcpyDtoHAsync_v2"(*mut c_void, u64, usize, Handle);
    stream_create = "cuStreamCreate"(*mut Handle, c_uint);
    stream_destroy = "cuStreamDestroy_v2"(Handle);
    stream_synchronize = "cuStreamSynchronize"(Handle);
    stream_wait = "cuStreamWaitEvent"(Handle, Handle, c_uint);
    event_create = "cuEventCreate"(*mut Handle, c_uint);
    event_destroy = "cuEventDestroy_v2"(Handle);
    event_record = "cuEventRecord"(Handle, Handle);
    event_synchronize = "cuEventSynchronize"(Handle);
    event_elapsed = "cuEventElapsedTime"(*mut f32, Handle, Handle);
    error_text = "cuGetErrorString"(c_int, *mut *const c_char);
    launch = "cuLaunchKernel"(Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut Handle, *mut Handle);
}

/// `CU_DEVICE_ATTRIBUTE_…`.
const MULTIPROCESSOR_COUNT: c_int = 16;
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;
/// `CU_STREAM_NON_BLOCKING`: it does not wait for the default stream.
const NON_BLOCKING: c_uint = 1;
/// `CU_EVENT_BLOCKING_SYNC`: who waits for it sleeps.
const BLOCKING_SYNC: c_uint = 1;
/// `CUDA_ERROR_OUT_OF_MEMORY`.
const OUT_OF_MEMORY: c_int = 2;
/// `CU_MEMHOSTALLOC_PORTABLE`: pinned for every context.
const PORTABLE: c_uint = 1;

impl Api {
    fn check(&self, call: &'static str, code: c_int) -> Result<(), CallError> {
        if code == 0 {
            return Ok(());
        }
        let mut text = std::ptr::null();
        // SAFETY: the text is a constant of the driver's, or null where it does not know the code.
        let reason = unsafe {
            if (self.error_text)(code, &raw mut text) == 0 && !text.is_null() {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            } else {
                "an error that the driver has no text for".to_owned()
            }
        };
        Err(CallError { call, code, reason })
    }
}

/// The driver, loaded and initialised once.
pub(super) struct Driver {
    api: Api,
    /// Of the CUDA version that it is for: 1000 times the major, 10 times the minor.
    version: i32,
}

impl Driver {
    /// The machine's driver.
    pub(super) fn get() -> Result<&'static Driver, Error> {
        static DRIVER: OnceLock<Result<Driver, Error>> = OnceLock::new();
        DRIVER.get_or_init(Driver::load).as_ref().map_err(Error::clone)
    }

    fn load() -> Result<Driver, Error> {
        let api = Api::load().map_err(|e| Error::NoDriver { reason: e.to_string() })?;
        let mut version = 0;
        // SAFETY: `cuInit` takes no flags; `version` is there to be written.
        unsafe {
            api.check("cuDriverGetVersion", (api.driver_version)(&raw mut version))?;
            if version < ptx::OLDEST_DRIVER {
                return Err(Error::OldDriver { found: version, needed: ptx::OLDEST_DRIVER });
            }
            api.check("cuInit", (api.init)(0))?;
        }
        Ok(Driver { api, version })
    }

    /// How many cards it sees.
    pub(super) fn devices(&self) -> Result<usize, Error> {
        let mut count = 0;
        // SAFETY: `count` is there to be written.
        self.api.check("cuDeviceGetCount", unsafe { (self.api.device_count)(&raw mut count) })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The CUDA version that it is for: 1000 times the major, 10 times the minor.
    pub(super) fn version(&self) -> i32 {
        self.version
    }
}

/// A kernel that took so long was compiled; one that the driver had in its cache takes a few milliseconds.
const SLOW_COMPILATION: Duration = Duration::from_millis(100);

type Tell = Box<dyn Fn(&DeviceInfo) + Send + Sync>;

static TELL_OF_COMPILATION: OnceLock<Tell> = OnceLock::new();

/// Has `tell` called, once a card, when its driver turns out to be compiling kernels, which takes seconds the first time.
/// Only the first such request counts.
pub fn on_compilation(tell: impl Fn(&DeviceInfo) + Send + Sync + 'static) {
    let _ = TELL_OF_COMPILATION.set(Box::new(tell));
}

/// What is known of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number.
    pub ordinal: usize,
    /// The maker's name for it.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: [i32; 2],
    /// Multiprocessors.
    pub processors: usize,
    /// Bytes of its memory.
    pub memory: usize,
    /// The CUDA version that the driver is for: 1000 times the major, 10 times the minor.
    pub driver: i32,
}

/// A card, with its primary context.
pub struct Device {
    driver: &'static Driver,
    context: Handle,
    info: DeviceInfo,
    kernels: Mutex<HashMap<&'static str, Function>>,
    /// Whether it was told that kernels are compiled.
    told: AtomicBool,
}

// SAFETY: the driver's functions may be called from any thread, and a context may be current to several.
unsafe impl Send for Device {}
// SAFETY: as above; what changes is behind a lock.
unsafe impl Sync for Device {}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({} {})", self.info.ordinal, self.info.name)
    }
}

impl Device {
    /// The card of that number, opened once.
    ///
    /// # Errors
    /// No driver, one that is too old, no such card, one whose compute capability is below 6.0.
    pub fn open(ordinal: usize) -> Result<Arc<Device>, Error> {
        static OPEN: Mutex<Vec<Arc<Device>>> = Mutex::new(Vec::new());
        let driver = Driver::get()?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = open.iter().find(|d| d.info.ordinal == ordinal) {
            return Ok(Arc::clone(device));
        }
        let device = Arc::new(Self::retain(driver, ordinal)?);
        open.push(Arc::clone(&device));
        Ok(device)
    }

    /// What is known of every card, without a context on any.
    ///
    /// # Errors
    /// No driver, or one that is too old.
    pub fn all() -> Result<Vec<DeviceInfo>, Error> {
        let driver = Driver::get()?;
        (0..driver.devices()?).map(|ordinal| Ok(Self::look(driver, ordinal)?.1)).collect()
    }

    fn look(driver: &'static Driver, ordinal: usize) -> Result<(c_int, DeviceInfo), Error> {
        let count = driver.devices()?;
        if ordinal >= count {
            return Err(Error::NoDevice { ordinal, count });
        }
        let api = &driver.api;
        let (mut device, mut name, mut memory) = (0, [0 as c_char; 256], 0);
        // SAFETY: every pointer is to a variable of the type that the call writes; the name's length goes with it, and
        // the driver ends it with a zero.
        let name = unsafe {
            let number = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
            api.check("cuDeviceGet", (api.device_get)(&raw mut device, number))?;
            api.check(
                "cuDeviceGetName",
                (api.device_name)(name.as_mut_ptr(), name.len() as c_int - 1, device),
            )?;
            api.check("cuDeviceTotalMem", (api.device_memory)(&raw mut memory, device))?;
            CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned()
        };
        let attribute = |which| {
            let mut value = 0;
            // SAFETY: `value` is there to be written.
            let code = unsafe { (api.device_attribute)(&raw mut value, which, device) };
            api.check("cuDeviceGetAttribute", code).map(|()| value)
        };
        let info = DeviceInfo {
            ordinal,
            name,
            capability: [attribute(CAPABILITY_MAJOR)?, attribute(CAPABILITY_MINOR)?],
            processors: usize::try_from(attribute(MULTIPROCESSOR_COUNT)?).unwrap_or(1).max(1),
            memory,
            driver: driver.version(),
        };
        Ok((device, info))
    }

    fn retain(driver: &'static Driver, ordinal: usize) -> Result<Device, Error> {
        let (device, info) = Self::look(driver, ordinal)?;
        if info.capability[0] < ptx::OLDEST_CAPABILITY {
            let (name, found) = (info.name, info.capability);
            return Err(Error::OldDevice { name, found, needed: ptx::OLDEST_CAPABILITY });
        }
        let mut context = std::ptr::null_mut();
        // SAFETY: `context` is there to be written. It is never released: the process keeps its cards to the end.
        let code = unsafe { (driver.api.context_retain)(&raw mut context, device) };
        driver.api.check("cuDevicePrimaryCtxRetain", code)?;
        Ok(Device { driver, context, info, kernels: Mutex::default(), told: AtomicBool::new(false) })
    }

    /// What is known of it.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Makes its context this thread's, which every other call needs.
    pub(super) fn enter(&self) -> Result<(), CallError> {
        // SAFETY: the context lives as long as the process.
        self.check("cuCtxSetCurrent", unsafe { (self.driver.api.context_set)(self.context) })
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<(), CallError> {
        self.driver.api.check(call, code)
    }

    /// Bytes that are free, of all.
    pub(super) fn free_memory(&self) -> Result<usize, CallError> {
        let (mut free, mut all) = (0, 0);
        // SAFETY: both are there to be written.
        self.check("cuMemGetInfo", unsafe { (self.driver.api.memory_info)(&raw mut free, &raw mut all) })?;
        Ok(free)
    }

    /// A kernel, compiled by the driver when it is first asked for.
    pub(super) fn kernel(&self, name: &'static str) -> Result<Function, Error> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = kernels.get(name) {
            return Ok(*function);
        }
        let bad = || Error::Kernels { reason: format!("no kernel `{name}`") };
        let text = CString::new(ptx::of(name)?).map_err(|_| bad())?;
        let symbol = CString::new(name).map_err(|_| bad())?;
        let start = Instant::now();
        let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the text ends with a zero, the pointers are there to be written. The module is never unloaded.
        unsafe {
            let api = &self.driver.api;
            self.check("cuModuleLoadData", (api.module_load)(&raw mut module, text.as_ptr().cast()))?;
            let code = (api.module_function)(&raw mut function, module, symbol.as_ptr());
            self.check("cuModuleGetFunction", code)?;
        }
        kernels.insert(name, Function(function));
        if start.elapsed() >= SLOW_COMPILATION
            && !self.told.swap(true, Ordering::Relaxed)
            && let Some(tell) = TELL_OF_COMPILATION.get()
        {
            tell(&self.info);
        }
        Ok(Function(function))
    }

    /// Memory of so many values.
    pub(super) fn memory(self: &Arc<Self>, values: usize) -> Result<Memory, CallError> {
        let mut at = 0;
        // SAFETY: `at` is there to be written.
        let code = unsafe { (self.driver.api.memory_alloc)(&raw mut at, values.max(1).saturating_mul(4)) };
        self.check("cuMemAlloc", code)?;
        Ok(Memory { at, values, device: Arc::clone(self) })
    }

    /// Host memory of so many values, zeros, that the card reads by itself.
    pub(super) fn pinned(self: &Arc<Self>, values: usize) -> Result<Pinned, CallError> {
        let mut at = std::ptr::null_mut();
        let bytes = values.max(1).saturating_mul(4);
        // SAFETY: `at` is there to be written; what it is then points to so many bytes.
        unsafe {
            let code = (self.driver.api.host_alloc)(&raw mut at, bytes, PORTABLE);
            self.check("cuMemHostAlloc", code)?;
            std::ptr::write_bytes(at.cast::<u8>(), 0, bytes);
        }
        Ok(Pinned { at: at.cast(), len: values, device: Arc::clone(self) })
    }

    pub(super) fn stream(self: &Arc<Self>) -> Result<Stream, CallError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is there to be written.
        let code = unsafe { (self.driver.api.stream_create)(&raw mut handle, NON_BLOCKING) };
        self.check("cuStreamCreate", code)?;
        Ok(Stream { handle, device: Arc::clone(self) })
    }

    pub(super) fn event(self: &Arc<Self>) -> Result<Event, CallError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is there to be written.
        let code = unsafe { (self.driver.api.event_create)(&raw mut handle, BLOCKING_SYNC) };
        self.check("cuEventCreate", code)?;
        Ok(Event { handle, device: Arc::clone(self) })
    }
}

/// A kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function(Handle);

// SAFETY: a number that the driver knows a kernel by.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl CallError {
    /// Whether there was no memory.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.code == OUT_OF_MEMORY
    }
}
