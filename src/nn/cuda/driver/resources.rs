//! What is had of a card: memory there, pinned memory here, streams, events. Each is given back when it is dropped.
//!
//! In: calls of a [`Device`]. Out: copies and launches in a stream's order. Made by [`Device`]; called by the rest of
//! `nn::cuda`.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::Arc;

use super::super::error::CallError;
use super::{Device, Function, Handle};

/// Values in a card's memory.
#[derive(Debug)]
pub(in crate::cuda) struct Memory {
    pub(super) at: u64,
    pub(super) values: usize,
    pub(super) device: Arc<Device>,
}

impl Memory {
    /// The address on the card of the value at `offset`.
    pub(in crate::cuda) fn address(&self, offset: usize) -> u64 {
        debug_assert!(offset <= self.values);
        self.at + offset as u64 * 4
    }

    /// Copies `values` to its beginning, and waits until they are there.
    pub(in crate::cuda) fn fill(&self, values: &[f32]) -> Result<(), CallError> {
        assert!(values.len() <= self.values);
        // SAFETY: both sides have so many values.
        let code =
            unsafe { (self.device.driver.api.upload)(self.at, values.as_ptr().cast(), size_of_val(values)) };
        self.device.check("cuMemcpyHtoD", code)
    }

    /// Begins to copy `values` to the values from `offset` on.
    ///
    /// # Safety
    /// `values` must stay as they are until the stream has come to the copy's end.
    pub(in crate::cuda) unsafe fn begin_fill(
        &self,
        offset: usize,
        values: &[f32],
        stream: &Stream,
    ) -> Result<(), CallError> {
        assert!(offset + values.len() <= self.values);
        // SAFETY: both sides have so many values, and the caller keeps `values`.
        let code = unsafe {
            let (from, bytes) = (values.as_ptr().cast(), size_of_val(values));
            (self.device.driver.api.upload_async)(self.address(offset), from, bytes, stream.handle)
        };
        self.device.check("cuMemcpyHtoDAsync", code)
    }

    /// Begins to copy the values from `offset` on into the beginning of `to`.
    ///
    /// # Safety
    /// `to` must not be read or given back until the stream has come to the copy's end.
    pub(in crate::cuda) unsafe fn begin_read(
        &self,
        offset: usize,
        values: usize,
        to: &mut Pinned,
        at: usize,
        stream: &Stream,
    ) -> Result<(), CallError> {
        assert!(offset + values <= self.values && at + values <= to.len);
        // SAFETY: both sides have so many values, and the caller leaves `to` alone.
        let code = unsafe {
            let to = to.at.add(at).cast();
            (self.device.driver.api.download_async)(to, self.address(offset), values * 4, stream.handle)
        };
        self.device.check("cuMemcpyDtoHAsync", code)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = self.device.enter();
        // SAFETY: it was allocated and is freed once.
        let _ = unsafe { (self.device.driver.api.memory_free)(self.at) };
    }
}

/// Values in host memory that the card reads and writes by itself.
#[derive(Debug)]
pub(in crate::cuda) struct Pinned {
    pub(super) at: *mut f32,
    pub(super) len: usize,
    pub(super) device: Arc<Device>,
}

// SAFETY: it owns its memory.
unsafe impl Send for Pinned {}
// SAFETY: shared, it is only read.
unsafe impl Sync for Pinned {}

impl Pinned {
    pub(in crate::cuda) fn values(&self) -> &[f32] {
        // SAFETY: it has so many values, which were all written when it was allocated.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }

    pub(in crate::cuda) fn values_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }
    }

    /// Its address on the card: the same as here, as on all systems of 64 bits.
    pub(in crate::cuda) fn address(&self) -> u64 {
        self.at as u64
    }

    /// The bits of the first value, which a kernel may be writing.
    pub(in crate::cuda) fn first_bits(&self) -> u32 {
        // SAFETY: it has at least one value; a read of 4 aligned bytes sees them as they were at some time.
        unsafe { self.at.cast::<u32>().read_volatile() }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.device.enter();
        // SAFETY: it was allocated and is freed once.
        let _ = unsafe { (self.device.driver.api.host_free)(self.at.cast()) };
    }
}

/// Work of a card that is done in order.
#[derive(Debug)]
pub(in crate::cuda) struct Stream {
    pub(super) handle: Handle,
    pub(super) device: Arc<Device>,
}

// SAFETY: a number that the driver knows a stream by; its functions may be called from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// Has what comes next wait for an event.
    pub(in crate::cuda) fn wait(&self, event: &Event) -> Result<(), CallError> {
        // SAFETY: both are alive.
        let code = unsafe { (self.device.driver.api.stream_wait)(self.handle, event.handle, 0) };
        self.device.check("cuStreamWaitEvent", code)
    }

    /// Waits until all is done.
    pub(in crate::cuda) fn synchronize(&self) -> Result<(), CallError> {
        // SAFETY: it is alive.
        let code = unsafe { (self.device.driver.api.stream_synchronize)(self.handle) };
        self.device.check("cuStreamSynchronize", code)
    }

    /// Begins a kernel of one argument.
    ///
    /// # Safety
    /// `argument` must be the kernel's, and every address in it must stay valid until the stream has come to its end.
    pub(in crate::cuda) unsafe fn launch<T: Argument>(
        &self,
        function: Function,
        grid: [u32; 3],
        threads: u32,
        argument: &T,
    ) -> Result<(), CallError> {
        let mut arguments = [std::ptr::from_ref(argument).cast_mut().cast::<c_void>()];
        let [x, y, z] = grid;
        // SAFETY: the driver copies the argument, whose layout is the kernel's, before it returns.
        let code = unsafe {
            (self.device.driver.api.launch)(
                function.0,
                x,
                y,
                z,
                threads,
                1,
                1,
                0,
                self.handle,
                arguments.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        self.device.check("cuLaunchKernel", code)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.device.enter();
        // SAFETY: it was created and is destroyed once.
        let _ = unsafe { (self.device.driver.api.stream_destroy)(self.handle) };
    }
}

/// A kernel's argument: plain data in the layout of its C struct.
///
/// # Safety
/// The type must be `repr(C)` and equal field by field to the struct that its kernel takes.
pub(in crate::cuda) unsafe trait Argument {}

/// A place in a stream.
#[derive(Debug)]
pub(in crate::cuda) struct Event {
    pub(super) handle: Handle,
    pub(super) device: Arc<Device>,
}

// SAFETY: a number that the driver knows an event by; its functions may be called from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// Puts it behind what the stream has been given.
    pub(in crate::cuda) fn record(&self, stream: &Stream) -> Result<(), CallError> {
        // SAFETY: both are alive.
        let code = unsafe { (self.device.driver.api.event_record)(self.handle, stream.handle) };
        self.device.check("cuEventRecord", code)
    }

    /// Waits until the stream has come to it.
    pub(in crate::cuda) fn synchronize(&self) -> Result<(), CallError> {
        // SAFETY: it is alive.
        let code = unsafe { (self.device.driver.api.event_synchronize)(self.handle) };
        self.device.check("cuEventSynchronize", code)
    }

    /// Milliseconds from another one's to its.
    pub(in crate::cuda) fn since(&self, start: &Event) -> Result<f32, CallError> {
        let mut milliseconds = 0.0;
        // SAFETY: both are alive, and `milliseconds` is there to be written.
        let code = unsafe {
            (self.device.driver.api.event_elapsed)(&raw mut milliseconds, start.handle, self.handle)
        };
        self.device.check("cuEventElapsedTime", code)?;
        Ok(milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.device.enter();
        // SAFETY: it was created and is destroyed once.
        let _ = unsafe { (self.device.driver.api.event_destroy)(self.handle) };
    }
}
