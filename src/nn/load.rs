//! Whether a state dict fits a graph: strict both ways, before anything is run.
//!
//! In: a graph and weights. Out: what was ignored, or an [`Error`] that names what is missing, left over
//! or of another shape, with the nearest name. Called by everything that runs a graph.

use super::graph::Graph;
use super::weights::Weights;
use zoo_common::error::{Class, Classify};

/// A tensor that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The architecture needs it and the weights do not have it.
    Missing {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// A tensor left over that may be meant.
        near: Option<String>,
    },
    /// The weights have it and the architecture does not.
    LeftOver {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// It is there, and cannot be used.
    Unusable {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Both have it, in different shapes.
    Shape {
        /// Its name.
        name: String,
        /// What the architecture needs.
        expected: Vec<usize>,
        /// What the weights have.
        found: Vec<usize>,
    },
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Problem::Missing { name, shape, near } => {
                write!(f, "`{name}` {shape:?} is missing")?;
                near.as_ref().map_or(Ok(()), |n| write!(f, " (left over and like it: `{n}`)"))
            }
            Problem::LeftOver { name, shape } => write!(f, "`{name}` {shape:?} is left over"),
            Problem::Unusable { name, why } => write!(f, "`{name}` {why}"),
            Problem::Shape { name, expected, found } => {
                write!(f, "`{name}` has shape {found:?}, expected {expected:?}")
            }
        }
    }
}

/// The weights do not fit the architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The architecture.
    pub graph: String,
    /// Every tensor that does not fit.
    pub problems: Vec<Problem>,
    /// How many tensors the architecture needs.
    pub needed: usize,
}

/// How many problems a message lists.
const MAX_LISTED: usize = 6;

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |keep: fn(&Problem) -> bool| self.problems.iter().filter(|p| keep(p)).count();
        write!(
            f,
            "the weights do not fit `{}`: of {} tensors {} missing, {} of another shape or type; {} left over",
            self.graph,
            self.needed,
            count(|p| matches!(p, Problem::Missing { .. })),
            count(|p| matches!(p, Problem::Shape { .. } | Problem::Unusable { .. })),
            count(|p| matches!(p, Problem::LeftOver { .. })),
        )?;
        self.problems.iter().take(MAX_LISTED).try_for_each(|p| write!(f, "\n{p}"))?;
        match self.problems.len() {
            n if n > MAX_LISTED => write!(f, "\nand {} more", n - MAX_LISTED),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl Classify for Error {
    fn class(&self) -> Class {
        Class::BadInput
    }

    fn hint(&self) -> Option<String> {
        let missing = self.problems.iter().filter(|p| matches!(p, Problem::Missing { .. })).count();
        if missing == self.needed {
            Some("not one name fits: is this another architecture, or another naming scheme?".into())
        } else {
            None
        }
    }
}

/// What was found beside the tensors that fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Names under the architecture's `ignore` prefixes, which timm drops as well.
    pub ignored: Vec<String>,
}

/// Checks that `weights` has exactly the tensors of `graph`, each in its shape. A missing
/// `num_batches_tracked` is fine, and so is anything under the graph's `ignore` prefixes.
///
/// # Errors
/// Every tensor that does not fit.
pub fn check(graph: &Graph, weights: &dyn Weights) -> Result<Loaded, Error> {
    let found = weights.names();
    let by_name: std::collections::HashMap<&str, &[usize]> =
        found.iter().map(|(n, s)| (n.as_str(), s.as_slice())).collect();
    let needed: std::collections::HashSet<&str> = graph.weights.iter().map(|w| w.name.as_str()).collect();

    let mut loaded = Loaded::default();
    let mut left_over = Vec::new();
    for (name, shape) in &found {
        if needed.contains(name.as_str()) {
            continue;
        }
        if graph.ignore.iter().any(|p| name.starts_with(p)) {
            loaded.ignored.push(name.clone())
        } else {
            left_over.push((name, shape))
        }
    }
    let mut problems = Vec::new();
    for weight in &graph.weights {
        match by_name.get(weight.name.as_str()) {
            // A counter may be 0-d or, in old files, of one element: it is never read.
            Some(_) if !weight.is_required() => {}
            Some(shape) if *shape == weight.shape.as_slice() => {
                let why = weights.unusable(&weight.name);
                problems.extend(why.map(|why| Problem::Unusable { name: weight.name.clone(), why }));
            }
            Some(shape) => problems.push(Problem::Shape {
                name: weight.name.clone(),
                expected: weight.shape.clone(),
                found: shape.to_vec(),
            }),
            None if weight.is_required() => {
                // Suggestions cost a comparison with every tensor left over: only for those listed.
                let near =
                    (problems.len() < MAX_LISTED).then(|| nearest(&weight.name, &weight.shape, &left_over));
                problems.push(Problem::Missing {
                    name: weight.name.clone(),
                    shape: weight.shape.clone(),
                    near: near.flatten(),
                });
            }
            None => {}
        }
    }
    let extra = left_over.into_iter();
    problems.extend(extra.map(|(n, s)| Problem::LeftOver { name: n.clone(), shape: s.clone() }));
    if problems.is_empty() {
        Ok(loaded)
    } else {
        let needed = graph.weights.iter().filter(|w| w.is_required()).count();
        Err(Error { graph: graph.name.clone(), problems, needed })
    }
}

/// The left-over tensor of the same shape whose name is most like `name`.
fn nearest(name: &str, shape: &[usize], left_over: &[(&String, &Vec<usize>)]) -> Option<String> {
    let like = left_over.iter().filter(|(_, s)| s.as_slice() == shape);
    let scored = like.map(|(n, _)| (strsim::normalized_levenshtein(name, n), *n));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))?;
    (best.0 > 0.6).then(|| best.1.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Builder;
    use crate::seeded::Seeded;
    use crate::weights::{StateDict, Weights};

    fn graph() -> Graph {
        let (mut b, x) = Builder::new("tiny", 4, 2);
        let x = b.batch_norm("bn1", x, 1e-5, false);
        let x = b.global_average_pool("pool", x);
        b.linear("fc", x, 2, true);
        b.ignore("AuxLogits.");
        b.finish("fc", "bn1").unwrap()
    }

    fn weights() -> StateDict {
        let seeded = Seeded::new(&graph(), 0);
        let names = seeded.names().into_iter();
        names.map(|(n, s)| (n.clone(), (s, seeded.get(&n).unwrap().values.into_owned()))).collect()
    }

    #[test]
    fn what_fits_is_accepted() {
        let mut w = weights();
        assert_eq!(check(&graph(), &w).unwrap(), Loaded::default());
        w.remove("bn1.num_batches_tracked");
        w.insert("AuxLogits.fc.weight".into(), (vec![1], vec![0.0]));
        assert_eq!(check(&graph(), &w).unwrap().ignored, ["AuxLogits.fc.weight"]);
    }

    #[test]
    fn every_misfit_is_named() {
        let mut w = weights();
        let fc = w.remove("fc.weight").unwrap();
        w.insert("head.fc.weight".into(), fc);
        w.insert("bn1.bias".into(), (vec![3], vec![0.0; 3]));
        let error = check(&graph(), &w).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the weights do not fit `tiny`: of 6 tensors 1 missing, 1 of another shape or type; 1 left over\n\
             `bn1.bias` has shape [3], expected [4]\n\
             `fc.weight` [2, 4] is missing (left over and like it: `head.fc.weight`)\n\
             `head.fc.weight` [2, 4] is left over"
        );
        assert_eq!(error.hint(), None);
        let none = check(&graph(), &StateDict::new()).unwrap_err();
        assert!(none.hint().unwrap().contains("another architecture"));
    }
}
