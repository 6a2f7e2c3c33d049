//! Between entry and result a warm pass allocates nothing: counted by the allocator itself.

#![allow(unsafe_code, reason = "an allocator can't be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use zoo::nn::graph::Graph;
use zoo::nn::plan::{Error, Isa, Plan};
use zoo::nn::seeded::{self, Seeded};
use zoo::nn::weights::Weights;

/// What all threads have asked for: a pass's helpers too.
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts what each thread asks for.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    ALLOCATIONS.fetch_add(1, SeqCst);
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
    let before = ALLOCATIONS.load(SeqCst);
    work();
    ALLOCATIONS.load(SeqCst) - before
}

/// Set for the process in which nothing else runs.
const ALONE: &str = "ZOO_TEST_ALONE";

#[test]
fn a_warm_pass_allocates_nothing() {
    // The counter sees all threads, and the tests beside this one allocate: so it counts in a process of its own.
    let alone = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["allocations::alone_in_its_process", "--exact", "--include-ignored", "--test-threads", "1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by `a_warm_pass_allocates_nothing`"]
fn alone_in_its_process() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    assert!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))) > 0, "the counter must count");
    let helper = || drop(std::thread::spawn(|| std::hint::black_box(vec![1u8; 100])).join());
    assert!(allocations(helper) > 2, "it must count what another thread asks for");
    operation();
    for name in ["tf_efficientnet_b0", "resnet50", "mobilenetv3_large_100"] {
        let graph = zoo::arch::build(name, 1000).unwrap();
        let image = seeded::input(0, [1, 3, 96, 96]);
        for isa in Isa::available() {
            // By definition every pass takes long: one network is enough.
            let makers: &[Maker] =
                if name.starts_with("mobile") { &[Plan::new, unfused] } else { &[Plan::new] };
            for plan in makers {
                let plan = plan(&graph, &Seeded::new(&graph, 0), [3, 96, 96], isa).unwrap();
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
}

type Maker = fn(&Graph, &dyn Weights, [usize; 3], Isa) -> Result<Plan, Error>;

/// Every operation by its definition.
fn unfused(graph: &Graph, weights: &dyn Weights, image: [usize; 3], isa: Isa) -> Result<Plan, Error> {
    Plan::unfused(graph, weights, image, isa, &[graph.output()])
}

/// A warm operation allocates its output, and what candle wraps it in.
fn operation() {
    use candle_core::{DType, Device, Module, Tensor};
    let graph = zoo::arch::build("mobilenetv3_large_100", 1000).unwrap();
    let network =
        zoo::Network::new(Default::default(), &graph, &Seeded::new(&graph, 0), [3, 64, 64]).unwrap();
    // What candle itself asks for to hand on a result of one value, whoever computes it.
    let small = Tensor::zeros((1, 1), DType::F32, &Device::Cpu).unwrap();
    drop(small.apply_op1_no_bwd(&One).unwrap());
    let wrapping = allocations(|| drop(small.apply_op1_no_bwd(&One).unwrap()));
    for images in [1, 4] {
        let contiguous = Tensor::zeros((images, 3, 64, 64), DType::F32, &Device::Cpu).unwrap();
        let strided = contiguous.transpose(2, 3).unwrap();
        for tensor in [contiguous, strided] {
            network.forward(&tensor).unwrap();
            let found = allocations(|| drop(network.forward(&tensor).unwrap()));
            assert!(found <= wrapping, "{images} images: {found} allocations, {wrapping} are candle's");
        }
    }
}

/// The least operation: one value.
struct One;

impl candle_core::CustomOp1 for One {
    fn name(&self) -> &'static str {
        "one"
    }

    fn cpu_fwd(
        &self,
        _: &candle_core::CpuStorage,
        _: &candle_core::Layout,
    ) -> candle_core::Result<(candle_core::CpuStorage, candle_core::Shape)> {
        Ok((candle_core::CpuStorage::F32(vec![1.0; 1]), candle_core::Shape::from((1, 1))))
    }
}
