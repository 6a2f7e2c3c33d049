//! Between entry and result a warm pass allocates nothing: counted by the allocator itself.

#![allow(unsafe_code, reason = "an allocator can't be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use zoo::nn::plan::{Isa, Plan};
use zoo::nn::seeded::{self, Seeded};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks for.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    // A thread that is ending has no counter any more, and is not one that is watched.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn a_warm_pass_allocates_nothing() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))) > 0, "the counter must count");
    for name in ["tf_efficientnet_b0", "resnet50", "mobilenetv3_large_100"] {
        let graph = zoo::arch::build(name, 1000).unwrap();
        let image = seeded::input(0, [1, 3, 96, 96]);
        for isa in Isa::available() {
            let plan = Plan::new(&graph, &Seeded::new(&graph, 0), [3, 96, 96], isa).unwrap();
            let mut out = vec![0.0; plan.outputs()];
            for threads in [1, 2] {
                let mut worker = plan.worker_on(threads).unwrap();
                worker.logits(&image, &mut out).unwrap();
                let found = allocations(|| worker.logits(&image, &mut out).unwrap());
                assert_eq!(found, 0, "{name} on {isa}, {threads} threads");
            }
        }
    }
}
