//! Which vector instructions the image code may use. The bits are the same on any.

/// A set of instructions that the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    /// What every machine has.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

/// Proof that the machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Isa {
    /// All that the machine has, the best last.
    pub(super) fn available() -> Vec<Isa> {
        let mut all = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            all.push(Isa::Avx2(Avx2(())));
        }
        all
    }

    /// The best that the machine has.
    pub(super) fn best() -> Isa {
        Isa::available().pop().unwrap_or(Isa::Portable)
    }
}
