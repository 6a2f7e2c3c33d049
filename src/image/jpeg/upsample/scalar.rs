//! The plain twin: a sample at a time.

/// As [`super::across`].
pub(super) fn across(row: &[u8], out: &mut [u8]) {
    for (x, out) in row.array_windows::<3>().zip(out.as_chunks_mut::<2>().0) {
        let [before, this, after] = x.map(u16::from);
        *out = [((3 * this + before + 1) >> 2) as u8, ((3 * this + after + 2) >> 2) as u8];
    }
}

/// As [`super::down`].
#[inline(always)]
pub(super) fn down(near: &[u8], far: &[u8], is_upper: bool, out: &mut [u8]) {
    let bias = if is_upper { 1 } else { 2 };
    for ((&near, &far), out) in near.iter().zip(far).zip(out) {
        *out = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
    }
}

/// As [`super::both`].
pub(super) fn both(near: &[u8], far: &[u8], out: &mut [u8]) {
    let columns = near.array_windows::<3>().zip(far.array_windows::<3>());
    for ((near, far), out) in columns.zip(out.as_chunks_mut::<2>().0) {
        let sum = |i: usize| 3 * u16::from(near[i]) + u16::from(far[i]);
        let (before, this, after) = (sum(0), sum(1), sum(2));
        *out = [((3 * this + before + 8) >> 4) as u8, ((3 * this + after + 7) >> 4) as u8];
    }
}
