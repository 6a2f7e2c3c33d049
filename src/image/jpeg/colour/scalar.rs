//! The plain twin: a pixel at a time, by the numbers that libjpeg's tables are made of.

/// In units of 2^-16: 1.40200, 1.77200, 0.71414 and 0.34414, rounded.
pub(super) const RED_OF_CR: i32 = 91881;
pub(super) const BLUE_OF_CB: i32 = 116130;
pub(super) const GREEN_OF_CR: i32 = -46802;
pub(super) const GREEN_OF_CB: i32 = -22554;

/// As [`super::ycc`].
pub(super) fn ycc([y, cb, cr]: [&[u8]; 3], out: &mut [u8]) {
    let pixels = y.iter().zip(cb).zip(cr);
    for (((&y, &cb), &cr), out) in pixels.zip(out.as_chunks_mut::<3>().0) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let add = |product: i32| (y + ((product + (1 << 15)) >> 16)).clamp(0, 255) as u8;
        *out = [add(RED_OF_CR * cr), add(GREEN_OF_CB * cb + GREEN_OF_CR * cr), add(BLUE_OF_CB * cb)];
    }
}

/// As [`super::grey`].
pub(super) fn grey(y: &[u8], out: &mut [u8]) {
    for (&y, out) in y.iter().zip(out.as_chunks_mut::<3>().0) {
        *out = [y; 3];
    }
}
