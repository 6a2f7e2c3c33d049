//! L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.5) with a backtracking line search: for smooth convex
//! functions of many variables, in double precision.
//!
//! In: a function with its gradient, a start. Out: where the gradient vanishes. Nothing is random and nothing depends on
//! threads: the same function gives the same steps. Called by `train`.

use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Pairs of steps and changes of the gradient that stand for the curvature.
const HISTORY: usize = 10;

/// The share of the decrease that the slope promises which a step must bring (Armijo's rule).
const SUFFICIENT: f64 = 1e-4;

/// Halvings of a step before it is given up: the function cannot be decreased in double precision.
const MAX_HALVINGS: usize = 40;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Steps.
    pub(super) steps: usize,
    /// The largest component of the gradient at which it is done.
    pub(super) gradient: f64,
}

/// Minimises `function`, which fills the gradient and returns the value, from `x` on. `step` is called after each step: its
/// number and the value. Leaves the best point in `x`; returns its value.
pub(super) fn minimise(
    x: &mut Vec<f64>,
    limits: Limits,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
    mut step: impl FnMut(usize, f64, &[f64]) -> ControlFlow<()>,
) -> f64 {
    let n = x.len();
    let mut gradient = vec![0.0; n];
    let mut value = function(x, &mut gradient);
    let mut history: VecDeque<Pair> = VecDeque::with_capacity(HISTORY);
    let (mut next, mut next_gradient) = (vec![0.0; n], vec![0.0; n]);
    for number in 1..=limits.steps {
        let largest = gradient.iter().fold(0.0, |max: f64, g| max.max(g.abs()));
        if !value.is_finite() || largest <= limits.gradient {
            break;
        }
        let mut direction = direction(&gradient, &history);
        let mut slope = dot(&gradient, &direction);
        if slope >= 0.0 {
            // Rounding has spoilt the curvature: down the gradient again.
            history.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        let mut length =
            if history.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..MAX_HALVINGS {
            for ((to, from), d) in next.iter_mut().zip(x.iter()).zip(&direction) {
                *to = from + length * d;
            }
            let there = function(&next, &mut next_gradient);
            if there <= value + SUFFICIENT * length * slope {
                found = Some(there);
                break;
            }
            length *= 0.5;
        }
        let Some(there) = found else { break };
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let moved: Vec<f64> = next.iter().zip(x.iter()).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &change);
        if curvature > 1e-12 * dot(&change, &change) {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(Pair { moved, change, rho: 1.0 / curvature });
        }
        value = there;
        std::mem::swap(x, &mut next);
        std::mem::swap(&mut gradient, &mut next_gradient);
        if step(number, value, x).is_break() {
            break;
        }
    }
    value
}

/// A step, how the gradient changed over it, and one over their product.
struct Pair {
    moved: Vec<f64>,
    change: Vec<f64>,
    rho: f64,
}

/// The two loops: minus the inverse curvature, as the history has it, times the gradient.
fn direction(gradient: &[f64], history: &VecDeque<Pair>) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let mut alphas = Vec::with_capacity(history.len());
    for pair in history.iter().rev() {
        let alpha = pair.rho * dot(&pair.moved, &q);
        q.iter_mut().zip(&pair.change).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    if let Some(last) = history.back() {
        let scale = 1.0 / (last.rho * dot(&last.change, &last.change));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for (pair, alpha) in history.iter().zip(alphas.iter().rev()) {
        let beta = pair.rho * dot(&pair.change, &q);
        q.iter_mut().zip(&pair.moved).for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q.iter_mut().for_each(|q| *q = -*q);
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { steps: 200, gradient: 1e-9 };

    #[test]
    fn a_badly_scaled_parabola_is_minimised() {
        let mut x = vec![5.0, -3.0, 2.0];
        let scale = [1.0, 100.0, 1e4];
        let function = |x: &[f64], g: &mut [f64]| {
            let mut value = 0.0;
            for ((x, g), s) in x.iter().zip(g).zip(scale) {
                *g = s * (x - 1.0);
                value += 0.5 * s * (x - 1.0).powi(2);
            }
            value
        };
        let mut values = Vec::new();
        minimise(&mut x, LIMITS, function, |_, value, _| {
            values.push(value);
            ControlFlow::Continue(())
        });
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-8), "{x:?}");
        assert!(values.windows(2).all(|pair| pair[1] <= pair[0]), "every step goes down");
        assert!(values.len() < 60, "{}", values.len());
    }

    #[test]
    fn it_stops_where_it_is_told_and_where_nothing_is_to_do() {
        let bowl = |x: &[f64], g: &mut [f64]| {
            g[0] = x[0];
            0.5 * x[0] * x[0]
        };
        let mut x = vec![0.0];
        assert_eq!(minimise(&mut x, LIMITS, bowl, |_, _, _| panic!("no step")), 0.0);
        let mut steps = 0;
        let mut x = vec![8.0, 1.0];
        let rosenbrock = |x: &[f64], g: &mut [f64]| {
            g[0] = -2.0 * (1.0 - x[0]) - 400.0 * x[0] * (x[1] - x[0] * x[0]);
            g[1] = 200.0 * (x[1] - x[0] * x[0]);
            (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2)
        };
        minimise(&mut x, LIMITS, rosenbrock, |number, _, _| {
            steps = number;
            if number == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(steps, 3);
        minimise(&mut x, Limits { steps: 1000, gradient: 1e-9 }, rosenbrock, |_, _, _| {
            ControlFlow::Continue(())
        });
        assert!((x[0] - 1.0).abs() < 1e-6 && (x[1] - 1.0).abs() < 1e-6, "{x:?}");
        let nan = |_: &[f64], g: &mut [f64]| {
            g.fill(f64::NAN);
            f64::NAN
        };
        assert!(minimise(&mut vec![1.0], LIMITS, nan, |_, _, _| ControlFlow::Continue(())).is_nan());
    }
}
