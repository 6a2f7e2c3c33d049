//! Verifies a model on a folder of labelled pictures, one folder a class, and prints what was found.
//!
//! ```text
//! cargo run --release --example verify_folder -- efficientnet_lite0_pypi val/ [WEIGHTS]
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::path::Path;

use zoo::dataset::{self, Classes, SearchLocations};
use zoo::model::{EngineKind, Labels, ModelSpec};
use zoo::registry::Registry;
use zoo::store::{Options, Store};
use zoo::verify::{Candidate, NullProgress, Report, RunOptions, Session, SessionOptions, Settings};

/// What `zoo verify NAME --dataset folder --data-dir FOLDER` reports.
///
/// # Errors
/// An unknown name, weights that do not fit, folders that are no classes, pictures that cannot be read.
pub fn verify(store: &Store, name: &str, folder: &Path, weights: Option<&Path>) -> zoo::Result<Report> {
    let registry = Registry::builtin()?;
    let mut spec = ModelSpec::of(registry.resolve(name)?)?;
    if let Some(path) = weights {
        spec = spec.with_weights(path);
    }
    let paths = dataset::DatasetPaths::open(store.home())?;
    let places = SearchLocations { given: Some(folder), paths: &paths, store };
    let images = dataset::open(registry.dataset("folder")?, &places, &Classes::imagenet())?;
    let options = SessionOptions {
        run: RunOptions {
            engine: EngineKind::default(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            batch: None,
            shard: None,
            // With a home, what is measured is written down and not measured again.
            home: None,
            force: false,
        },
        keep_going: false,
        diagnose: false,
        known: registry.models(),
        command: Vec::new(),
    };
    let (models, settings) = (vec![Candidate::from(spec)], Settings::default());
    let session = Session::new(models, &images, Labels::imagenet(), settings, None, store, options);
    Ok(session.run(&NullProgress)?.report)
}

fn main() -> zoo::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, folder, weights @ ..] = args.as_slice() else {
        return Err(zoo::Error::usage("verify_folder NAME FOLDER [WEIGHTS]"));
    };
    let store = Store::open(Options::from_env())?;
    let report = verify(&store, name, folder.as_ref(), weights.first().map(Path::new))?;
    print!("{}", zoo::render::verdict::terminal(&report, None, false));
    Ok(())
}
