//! Which vector instructions the image code may use: none with the feature `portable`. The bits are the same on any.

/// A set of instructions that the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimdLevel {
    /// What every machine has.
    Portable,
    /// AVX2 and FMA.
    #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
    Avx2(Avx2),
}

/// Proof that the machine has AVX2 and FMA.
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Avx2(());

impl SimdLevel {
    /// All that the machine has, the best last.
    #[cfg(test)]
    pub(super) fn available() -> Vec<SimdLevel> {
        let mut all = vec![SimdLevel::Portable];
        all.extend(Some(SimdLevel::best()).filter(|best| *best != SimdLevel::Portable));
        all
    }

    /// The best that the machine has.
    pub(super) fn best() -> SimdLevel {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return SimdLevel::Avx2(Avx2(()));
        }
        SimdLevel::Portable
    }
}
