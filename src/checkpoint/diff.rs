//! Two checkpoints compared, whatever their formats: names, shapes, types, and values bit for bit. Called
//! by `zoo diff`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Checkpoint;
use super::error::Result;
use super::tensor::Tensor;
use super::values::Number;

/// In what two tensors of one name differ; the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Their shapes.
    Shape,
    /// Their types, with the same shape.
    Dtype,
    /// Some bits, with the same shape and type.
    Values,
}

/// Two tensors of one name that differ.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Difference {
    /// The name in both.
    pub name: String,
    /// In what.
    pub what: What,
    /// The largest difference of two values, of complex ones the modulus; none for shapes, for types of less than
    /// a byte, and where a NaN or an infinity stands against another value.
    pub max_abs: Option<f64>,
    /// The largest distance in units in the last place (for integers, the difference); none as for
    /// `max_abs`, and for two types.
    pub max_ulp: Option<u64>,
}

/// How two checkpoints differ.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Diff {
    /// Names that only the first has, in its order.
    pub only_a: Vec<String>,
    /// Names that only the second has, in its order.
    pub only_b: Vec<String>,
    /// In the first one's order.
    pub different: Vec<Difference>,
}

impl Diff {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.different.is_empty()
    }
}

/// Compares on up to `threads` threads.
///
/// # Errors
/// As [`Checkpoint::bytes`].
pub fn diff(a: &Checkpoint, b: &Checkpoint, threads: usize) -> Result<Diff> {
    let index = |c: &Checkpoint| c.tensors().iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
    let (in_a, in_b): (HashMap<String, usize>, HashMap<String, usize>) = (index(a), index(b));
    let pairs: Vec<(&Tensor, &Tensor)> =
        a.tensors().iter().filter_map(|t| Some((t, b.tensors().get(*in_b.get(&t.name)?)?))).collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Difference)>> {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((x, y)) = pairs.get(at) else { return Ok(found) };
            found.extend(pair(a, x, b, y)?.map(|difference| (at, difference)));
        }
    };
    let parts: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|h| h.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
    });
    let mut different = parts.into_iter().collect::<Result<Vec<_>>>()?.concat();
    different.sort_by_key(|(at, _)| *at);
    Ok(Diff {
        only_a: only(a, &in_b),
        only_b: only(b, &in_a),
        different: different.into_iter().map(|(_, difference)| difference).collect(),
    })
}

/// Compares names, shapes and types, and reads no values.
pub fn diff_headers(a: &Checkpoint, b: &Checkpoint) -> Diff {
    let index = |c: &Checkpoint| c.tensors().iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
    let (in_a, in_b): (HashMap<String, usize>, HashMap<String, usize>) = (index(a), index(b));
    let pairs = a.tensors().iter().filter_map(|t| Some((t, b.tensors().get(*in_b.get(&t.name)?)?)));
    let different = pairs.filter_map(|(x, y)| {
        let what = match (x.shape == y.shape, x.dtype == y.dtype) {
            (false, _) => What::Shape,
            (true, false) => What::Dtype,
            (true, true) => return None,
        };
        Some(Difference { name: x.name.clone(), what, max_abs: None, max_ulp: None })
    });
    Diff { only_a: only(a, &in_b), only_b: only(b, &in_a), different: different.collect() }
}

/// The names that the other has not, in the order of this one.
fn only(c: &Checkpoint, other: &HashMap<String, usize>) -> Vec<String> {
    c.tensors().iter().filter(|t| !other.contains_key(&t.name)).map(|t| t.name.clone()).collect()
}

fn pair(a: &Checkpoint, x: &Tensor, b: &Checkpoint, y: &Tensor) -> Result<Option<Difference>> {
    let name = || x.name.clone();
    if x.shape != y.shape {
        return Ok(Some(Difference { name: name(), what: What::Shape, max_abs: None, max_ulp: None }));
    }
    let (one, other) = (a.bytes(x)?, b.bytes(y)?);
    if x.dtype == y.dtype && one == other {
        return Ok(None);
    }
    let numbers = Number::parts(x.dtype).zip(Number::parts(y.dtype));
    let max_abs = numbers.and_then(|(p, q)| largest(&one, p, &other, q));
    if x.dtype != y.dtype {
        return Ok(Some(Difference { name: name(), what: What::Dtype, max_abs, max_ulp: None }));
    }
    let max_ulp = numbers.and_then(|((p, _), _)| farthest(&one, &other, p));
    Ok(Some(Difference { name: name(), what: What::Values, max_abs, max_ulp }))
}

/// The largest |x − y|, of complex numbers too; none where one is not finite and the other is another value. Each
/// side is of numbers of a type, so many an element; what has none has imaginary parts of zero.
fn largest(
    one: &[u8],
    (p, p_parts): (Number, usize),
    other: &[u8],
    (q, q_parts): (Number, usize),
) -> Option<f64> {
    let pairs = one.chunks_exact(p.size() * p_parts).zip(other.chunks_exact(q.size() * q_parts));
    let part = |element: &[u8], number: Number, at: usize| {
        element.chunks_exact(number.size()).nth(at).map_or(0.0, |bytes| number.value(bytes))
    };
    let mut max = 0.0_f64;
    for (x, y) in pairs {
        let mut apart = 0.0_f64;
        for at in 0..p_parts.max(q_parts) {
            let (x, y) = (part(x, p, at), part(y, q, at));
            let same = x == y || (x.is_nan() && y.is_nan());
            apart = if same { apart } else { apart.hypot(x - y) };
        }
        if !apart.is_finite() {
            return None;
        }
        max = max.max(apart);
    }
    Some(max)
}

/// The largest distance in places, of parts where an element has two; none where a NaN stands against a number.
fn farthest(one: &[u8], other: &[u8], number: Number) -> Option<u64> {
    let size = number.size();
    let mut max = 0;
    for (x, y) in one.chunks_exact(size).zip(other.chunks_exact(size)) {
        if x != y {
            let apart = match (number.place(x), number.place(y)) {
                (Some(x), Some(y)) => x.abs_diff(y),
                // Two NaNs with other payloads are as equal as values get.
                (None, None) => 0,
                _ => return None,
            };
            max = max.max(u64::try_from(apart).unwrap_or(u64::MAX));
        }
    }
    Some(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: (Number, usize) = (Number::F32, 1);

    #[test]
    fn complex_numbers_are_a_modulus_apart() {
        let complex = (Number::F32, 2);
        let (a, b) = (bytes(&[1.0, 2.0, 0.0, 0.0]), bytes(&[4.0, 6.0, 0.0, 1.0]));
        assert_eq!(largest(&a, complex, &b, complex), Some(5.0));
        // Against real numbers: imaginary parts of zero.
        assert_eq!(largest(&bytes(&[1.0, 2.0]), complex, &bytes(&[1.0]), F32), Some(2.0));
        assert_eq!(farthest(&bytes(&[0.0, 1.0]), &bytes(&[0.0, 1.0f32.next_up()]), Number::F32), Some(1));
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn distances_are_of_the_worst_element() {
        let (a, b) = (bytes(&[1.0, 2.0, -0.0]), bytes(&[1.0f32.next_up(), 2.5, 0.0]));
        assert_eq!(largest(&a, F32, &b, F32), Some(0.5));
        assert_eq!(farthest(&a, &b, Number::F32), Some(1 << 21));
    }

    #[test]
    fn a_nan_against_a_number_has_no_distance_and_against_a_nan_none() {
        let (a, b) = (bytes(&[f32::NAN]), bytes(&[0.0]));
        assert_eq!((largest(&a, F32, &b, F32), farthest(&a, &b, Number::F32)), (None, None));
        let other = f32::from_bits(f32::NAN.to_bits() | 1).to_le_bytes();
        assert_eq!(farthest(&a, &other, Number::F32), Some(0));
        assert_eq!(largest(&bytes(&[f32::INFINITY]), F32, &b, F32), None);
    }
}
