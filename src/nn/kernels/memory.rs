//! The memory that kernels read and write: an aligned buffer that never moves, and views into one.
//!
//! Threads of one pass write interleaved parts of one map (a pixel's channels are split between them),
//! which no `&mut [f32]` can say. [`Src`] and [`Dst`] are a pointer and the number of values behind it;
//! a kernel's constructor checks the furthest value it will touch against that, once.

#![allow(unsafe_code)]

use std::marker::PhantomData;

use memmap2::MmapMut;

use super::simd::Simd;

/// Values in a cache line.
pub const LINE: usize = 16;

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Zeroed float32 values on cache-line boundaries, in huge pages where they fill some and the system has them: a map's
/// pixels lie so far apart that ordinary pages cost a walk through the page table every few of them.
pub struct Buffer {
    pages: MmapMut,
    /// Bytes in front of the first value.
    skip: usize,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` zeros; `None` where the memory cannot be had.
    pub fn zeroed(len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<f32>())?;
        if bytes < HUGE {
            return Some(Buffer { pages: MmapMut::map_anon(bytes.max(1)).ok()?, skip: 0, len });
        }
        // The system starts a mapping where it likes; huge pages start at multiples of their size.
        let pages = MmapMut::map_anon(bytes.checked_add(HUGE)?).ok()?;
        let skip = pages.as_ptr().align_offset(HUGE).min(HUGE);
        #[cfg(target_os = "linux")]
        // Refused by a system that has none: ordinary pages are slower, and nothing else.
        let _ = pages.advise(memmap2::Advice::HugePage);
        Some(Buffer { pages, skip, len })
    }

    /// All of it.
    pub fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.pages[self.skip..][..self.len * size_of::<f32>()])
    }

    /// All of it, to write.
    pub fn values_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.pages[self.skip..][..self.len * size_of::<f32>()])
    }
}

/// A buffer that is filled from its start on.
pub struct Filling {
    buffer: Buffer,
    len: usize,
}

impl Filling {
    /// An empty one.
    pub fn new(buffer: Buffer) -> Self {
        Filling { buffer, len: 0 }
    }

    /// Starts a new cache line, and says where.
    pub fn align(&mut self) -> usize {
        self.len = self.len.next_multiple_of(LINE);
        self.len
    }

    /// What was filled; `None` where that was more than there is room for.
    pub fn finish(self) -> Option<Buffer> {
        (self.len <= self.buffer.len).then_some(self.buffer)
    }
}

impl Extend<f32> for Filling {
    fn extend<I: IntoIterator<Item = f32>>(&mut self, values: I) {
        let room = self.buffer.values_mut().get_mut(self.len..).unwrap_or_default();
        let mut count = 0;
        for value in values {
            // What finds no room is counted all the same, for `finish` to see.
            if let Some(slot) = room.get_mut(count) {
                *slot = value;
            }
            count += 1;
        }
        self.len += count;
    }
}

/// Values that a kernel reads.
#[derive(Clone, Copy)]
pub struct Src<'a> {
    at: *const f32,
    len: usize,
    life: PhantomData<&'a [f32]>,
}

/// Values that a kernel writes; other threads may be writing other values of the same memory.
#[derive(Clone, Copy)]
pub struct Dst<'a> {
    at: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `Src` is a shared borrow of plain values.
unsafe impl Send for Src<'_> {}
// SAFETY: see `Send`.
unsafe impl Sync for Src<'_> {}
// SAFETY: a `Dst` gives no access by itself; every write is in a kernel, whose caller splits the output so
// that no two threads are given the same values.
unsafe impl Send for Dst<'_> {}
// SAFETY: see `Send`.
unsafe impl Sync for Dst<'_> {}

impl<'a> Src<'a> {
    /// The values of a slice.
    pub fn new(values: &'a [f32]) -> Self {
        Src { at: values.as_ptr(), len: values.len(), life: PhantomData }
    }

    /// Values in it.
    pub fn len(self) -> usize {
        self.len
    }

    /// The first value.
    pub fn ptr(self) -> *const f32 {
        self.at
    }

    /// `len` of them from `start`.
    ///
    /// # Panics
    /// Where that is not inside.
    pub fn part(self, start: usize, len: usize) -> Self {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "a view beyond its buffer");
        // SAFETY: `start` is inside, as just checked.
        Src { at: unsafe { self.at.add(start) }, len, life: PhantomData }
    }
}

impl<'a> Dst<'a> {
    /// The values of a slice.
    pub fn new(values: &'a mut [f32]) -> Self {
        Dst { at: values.as_mut_ptr(), len: values.len(), life: PhantomData }
    }

    /// Values in it.
    pub fn len(self) -> usize {
        self.len
    }

    /// The first value.
    pub fn ptr(self) -> *mut f32 {
        self.at
    }

    /// `len` of them from `start`.
    ///
    /// # Panics
    /// Where that is not inside.
    pub fn part(self, start: usize, len: usize) -> Self {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "a view beyond its buffer");
        // SAFETY: `start` is inside, as just checked.
        Dst { at: unsafe { self.at.add(start) }, len, life: PhantomData }
    }

    /// Zeroes all of it.
    pub fn zero(self) {
        // SAFETY: `len` values from `at` are this view's.
        unsafe { self.at.write_bytes(0, self.len) }
    }

    /// The same memory, to read.
    pub fn read(self) -> Src<'a> {
        Src { at: self.at, len: self.len, life: PhantomData }
    }
}

impl Dst<'_> {
    /// Copies `count` runs of `len` values within this memory; `from` and `to` are the first run's start
    /// and the distance to the next. The runs read and the runs written must be different values.
    ///
    /// # Panics
    /// Where a run is not inside.
    pub fn copy_blocks(self, from: (usize, usize), to: (usize, usize), len: usize, count: usize) {
        let inside =
            |(start, step): (usize, usize)| count == 0 || start + (count - 1) * step + len <= self.len;
        assert!(inside(from) && inside(to), "a copy beyond its buffer");
        for i in 0..count {
            // SAFETY: all runs are inside, as just checked; `copy` allows any overlap.
            unsafe { std::ptr::copy(self.at.add(from.0 + i * from.1), self.at.add(to.0 + i * to.1), len) }
        }
    }

    /// Writes the values of `from`, `step` apart.
    ///
    /// # Panics
    /// Where the last is not inside.
    pub fn scatter(self, from: Src<'_>, step: usize) {
        assert!(from.len == 0 || (from.len - 1) * step < self.len, "a write beyond its buffer");
        for i in 0..from.len {
            // SAFETY: read inside `from`, and written inside, as just checked.
            unsafe { *self.at.add(i * step) = *from.at.add(i) }
        }
    }
}

/// The lanes of a vector as an array.
#[inline(always)]
pub(crate) fn spill<S: Simd>(s: S, v: S::V, lanes: &mut [f32; 16]) {
    const { assert!(S::LANES <= 16) };
    // SAFETY: at most 16 values are written.
    unsafe { s.store(lanes.as_mut_ptr(), v) }
}

/// The vector of an array's first lanes.
#[inline(always)]
pub(crate) fn refill<S: Simd>(s: S, lanes: &[f32; 16]) -> S::V {
    const { assert!(S::LANES <= 16) };
    // SAFETY: at most 16 values are read.
    unsafe { s.load(lanes.as_ptr()) }
}
