//! The memory that kernels read and write: an aligned buffer that never moves, and views into one.
//!
//! Threads of one pass write interleaved parts of one map (a pixel's channels are split between them),
//! which no `&mut [f32]` can say. [`Src`] and [`Dst`] are a pointer and the number of values behind it;
//! a kernel's `run` checks the furthest value it will touch against that, once.

#![allow(unsafe_code)]

use std::marker::PhantomData;

use memmap2::MmapMut;

/// Values in a cache line.
pub const LINE: usize = 16;

/// Bytes of a huge page.
const HUGE_PAGE_SIZE: usize = 2 << 20;

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
        if bytes < HUGE_PAGE_SIZE {
            return Some(Buffer { pages: MmapMut::map_anon(bytes.max(1)).ok()?, skip: 0, len });
        }
        // The system starts a mapping where it likes; huge pages start at multiples of their size.
        let pages = MmapMut::map_anon(bytes.checked_add(HUGE_PAGE_SIZE)?).ok()?;
        let skip = pages.as_ptr().align_offset(HUGE_PAGE_SIZE).min(HUGE_PAGE_SIZE);
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
pub struct BufferWriter {
    buffer: Buffer,
    len: usize,
}

impl BufferWriter {
    /// An empty one.
    pub fn new(buffer: Buffer) -> Self {
        BufferWriter { buffer, len: 0 }
    }

    /// Starts a new cache line, and says where.
    pub fn align(&mut self) -> usize {
        self.len = self.len.next_multiple_of(LINE);
        self.len
    }

    /// Values written until now.
    pub fn len(&self) -> usize {
        self.len
    }

    /// What was filled; `None` where that was more than there is room for.
    pub fn finish(self) -> Option<Buffer> {
        (self.len <= self.buffer.len).then_some(self.buffer)
    }
}

impl Extend<f32> for BufferWriter {
    fn extend<I: IntoIterator<Item = f32>>(&mut self, values: I) {
        let room = self.buffer.values_mut().get_mut(self.len..).unwrap_or_default();
        let mut values = values.into_iter();
        let mut count = 0;
        for (slot, value) in room.iter_mut().zip(&mut values) {
            *slot = value;
            count += 1;
        }
        // What finds no room is counted all the same, for `finish` to see.
        self.len += count + values.count();
    }
}

/// The memory of a pass as all its threads see it. No thread can read or write it as it is: each takes a view, and
/// says by that which values are its own.
#[derive(Clone, Copy)]
pub struct Arena<'a> {
    at: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: an `Arena` gives no access by itself; `view` is unsafe, and its caller says which values are its own.
unsafe impl Send for Arena<'_> {}
// SAFETY: see `Send`.
unsafe impl Sync for Arena<'_> {}

impl<'a> Arena<'a> {
    /// The values of a slice.
    pub fn new(values: &'a mut [f32]) -> Self {
        Arena { at: values.as_mut_ptr(), len: values.len(), life: PhantomData }
    }

    /// This thread's view of `len` values from `start` on.
    ///
    /// # Safety
    /// As long as the view lives, no other thread writes a value that is read through it, and none reads or writes a
    /// value that is written through it.
    ///
    /// # Panics
    /// Where that is not inside.
    pub unsafe fn view(self, start: usize, len: usize) -> Dst<'a> {
        Dst { at: self.at, len: self.len, life: PhantomData }.part(start, len)
    }
}

/// Values that a kernel reads. It stays on its thread, as [`Dst`] does.
#[derive(Clone, Copy)]
pub struct Src<'a> {
    at: *const f32,
    len: usize,
    life: PhantomData<&'a [f32]>,
}

/// Values that a kernel writes; other threads may be writing other values of the same memory. It is neither `Send` nor
/// `Sync`: whoever gives another thread a view says so at [`Arena::view`].
///
/// ```compile_fail,E0277
/// let mut values = [0.0];
/// let view = zoo_kernels::memory::Dst::new(&mut values);
/// std::thread::scope(|scope| scope.spawn(|| view.zero()));
/// ```
#[derive(Clone, Copy)]
pub struct Dst<'a> {
    at: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

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

    /// The `index`th value.
    ///
    /// # Panics
    /// Where that is not inside.
    pub fn get(self, index: usize) -> f32 {
        assert!(index < self.len, "a read beyond its buffer");
        // SAFETY: inside, as just checked.
        unsafe { *self.at.add(index) }
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

    /// All from `start` on.
    ///
    /// # Panics
    /// Where that is not inside.
    pub fn from(self, start: usize) -> Self {
        self.part(start, self.len.saturating_sub(start))
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

    /// Writes the `index`th value.
    ///
    /// # Panics
    /// Where that is not inside.
    pub fn set(self, index: usize, value: f32) {
        assert!(index < self.len, "a write beyond its buffer");
        // SAFETY: inside, as just checked.
        unsafe { *self.at.add(index) = value }
    }

    /// All from `start` on.
    ///
    /// # Panics
    /// Where that is not inside.
    pub fn from(self, start: usize) -> Self {
        self.part(start, self.len.saturating_sub(start))
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
    /// Copies `count` runs of `len` values; `to` and `from` are the first run's start and the distance to the next. The
    /// runs read and the runs written must be different values.
    ///
    /// # Panics
    /// Where a run is not inside.
    pub fn copy_blocks(self, to: (usize, usize), from: (Src<'_>, usize, usize), len: usize, count: usize) {
        let (source, from) = (from.0, (from.1, from.2));
        let end = |(start, step): (usize, usize)| {
            (count - 1).checked_mul(step)?.checked_add(start)?.checked_add(len)
        };
        let inside = |run, of: usize| count == 0 || end(run).is_some_and(|end| end <= of);
        assert!(inside(from, source.len) && inside(to, self.len), "a copy beyond its buffer");
        for i in 0..count {
            // SAFETY: all runs are inside, as just checked; `copy` allows any overlap.
            unsafe { std::ptr::copy(source.at.add(from.0 + i * from.1), self.at.add(to.0 + i * to.1), len) }
        }
    }

    /// Writes the values of `from`, `step` apart.
    ///
    /// # Panics
    /// Where the last is not inside.
    pub fn scatter(self, from: Src<'_>, step: usize) {
        let last = from.len.saturating_sub(1).checked_mul(step);
        assert!(from.len == 0 || last.is_some_and(|last| last < self.len), "a write beyond its buffer");
        for i in 0..from.len {
            // SAFETY: read inside `from`, and written inside, as just checked.
            unsafe { *self.at.add(i * step) = *from.at.add(i) }
        }
    }
}
