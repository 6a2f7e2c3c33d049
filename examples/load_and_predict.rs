//! Loads a model by name and names what is on a picture.
//!
//! ```text
//! cargo run --release --example load_and_predict -- efficientnet_lite0_pypi dog.jpg [WEIGHTS]
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::path::Path;

use zoo::model::{EngineKind, Loader, ModelSpec, guesses};
use zoo::registry::Registry;
use zoo::store::{Options, Store};

/// The five best guesses: what the class is called, and its probability.
///
/// # Errors
/// An unknown name, weights that cannot be had or do not fit, a file that is no picture.
pub fn predict(
    store: &Store,
    name: &str,
    picture: &Path,
    weights: Option<&Path>,
) -> zoo::Result<Vec<(String, f64)>> {
    let registry = Registry::builtin()?;
    let mut spec = ModelSpec::of(registry.resolve(name)?)?;
    if let Some(path) = weights {
        spec = spec.with_weights(path);
    }
    // Fetched, checked and converted where that has not been done.
    let model = Loader { store, engine: EngineKind::default() }.load(&spec)?;
    let bytes = zoo::fs::read(picture, 1 << 30)?;
    let logits = model.predictor()?.file(&bytes)?;
    let named = guesses(&logits, 5).into_iter().map(|g| (model.labels().name(g.index), g.prob));
    Ok(named.collect())
}

fn main() -> zoo::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, picture, weights @ ..] = args.as_slice() else {
        return Err(zoo::Error::usage("load_and_predict NAME PICTURE [WEIGHTS]"));
    };
    let store = Store::open(Options::from_env())?;
    for (label, prob) in predict(&store, name, picture.as_ref(), weights.first().map(Path::new))? {
        println!("{:6.2} %  {label}", 100.0 * prob);
    }
    Ok(())
}
