//! `zoo features NAME IMAGE… -o OUT`: embeddings and feature maps, as timm has them.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::chosen::Chosen;
use super::compute::Compute;
use super::counter::Counter;
use super::existing::refuse_existing;
use super::{Context, Status, interrupt};
use crate::error::{Class, Classify, Error, Result};
use crate::fs;
use crate::model::{FeatureInfo, FeatureLevel, Loader, Picture, Prepared, extract};
use crate::registry::Registry;
use crate::render::feature_file::{FeatureFile, FeatureFormat};
use crate::render::table::{Column, Table};

/// Arguments of `zoo features`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model, as `zoo list` names it, a .safetensors file with its sidecar .json, or a folder with timm's config.json
    name: String,
    /// Image files, folders and globs; `-` reads one image from standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Which features: timm's `num_classes=0`, `forward_features` or `features_only`
    #[arg(long, value_enum, default_value_t = LevelArg::Pool)]
    level: LevelArg,
    /// Only these levels of the pyramid, by position, from the end when negative: `0,2` or `-1`
    #[arg(long, value_name = "I,J", value_delimiter = ',', allow_hyphen_values = true)]
    out_indices: Option<Vec<isize>>,
    /// The features: float32, by extension .safetensors (every level, with the images' names) or .npy (one level)
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Overwrite OUT
    #[arg(long)]
    force: bool,
    /// Weights to use instead of the entry's: a .pth, .npz or .safetensors file
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// What to do about images that cannot be read
    #[arg(long, value_enum, default_value_t = BadImage::Fail, value_name = "WHAT")]
    on_bad_image: BadImage,
    #[command(flatten)]
    compute: Compute,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A level on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LevelArg {
    /// One vector an image
    Pool,
    /// The last feature map
    Map,
    /// The last map of each resolution
    Pyramid,
}

/// What becomes of an image that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum BadImage {
    /// Nothing is written
    Fail,
    /// It is left out, and named
    Skip,
}

/// The largest image that is read from standard input.
const MAX_STDIN: u64 = 1 << 30;

/// The run was broken off.
#[derive(Debug, thiserror::Error)]
#[error("interrupted after {done} of {total} images: nothing was written")]
struct Interrupted {
    done: usize,
    total: usize,
}

impl Classify for Interrupted {
    fn class(&self) -> Class {
        Class::Interrupted
    }
}

/// An image that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{image}`: {reason}")]
struct Unreadable {
    image: String,
    reason: String,
}

impl Classify for Unreadable {
    fn class(&self) -> Class {
        Class::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some("`--on-bad-image skip` leaves such images out and names them".into())
    }
}

/// Extracts and writes.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let level = match (args.level, &args.out_indices) {
        (LevelArg::Pool, None) => FeatureLevel::Pool,
        (LevelArg::Map, None) => FeatureLevel::Map,
        (LevelArg::Pyramid, wanted) => FeatureLevel::Pyramid(wanted.clone()),
        (LevelArg::Pool | LevelArg::Map, Some(_)) => {
            return Err(Error::usage("`--out-indices` chooses levels of `--level pyramid`"));
        }
    };
    FeatureFormat::of(&args.output)?;
    refuse_existing(&args.output, args.force)?;
    let pictures = pictures(&args.images)?;
    let registry = Registry::open(&context.globals.registry)?;
    let spec = Chosen::find(&args.name, args.weights.as_deref(), &registry)?.spec()?;
    let store = context.store()?;
    let engine = args.compute.engine(context)?;
    let model = Loader { store: &store, engine }.prepare(&spec)?;
    if let Some(renamed) = model.renamed() {
        context.note(&format!("note: {renamed}"));
    }
    let network = model.features_only(engine, &level)?;
    let levels = network.feature_info().to_vec();
    let names: Vec<String> = pictures.iter().map(|picture| picture.name.clone()).collect();
    let info = network.engine();
    let metadata = metadata(&model, &[info.name, info.isa, &info.algorithms_version.to_string()]);
    let mut file = FeatureFile::create(&args.output, &levels, names, metadata)?;

    let mut counter = Counter::new(&context.globals, &spec.name, 0, pictures.len());
    let (mut skipped, mut done, mut failed) = (Vec::new(), 0, None);
    let mut sink = |place: usize, found: std::result::Result<Vec<f32>, String>| {
        done += 1;
        let written = match found {
            Ok(values) => file.write(place, &values).map_err(Error::from),
            Err(reason) => {
                let image = pictures.get(place).map_or_else(String::new, |p| p.name.clone());
                match args.on_bad_image {
                    BadImage::Skip => {
                        skipped.push((place, image, reason));
                        Ok(())
                    }
                    BadImage::Fail => Err(Unreadable { image, reason }.into()),
                }
            }
        };
        counter.advanced(done, "");
        // The first of them in order, whichever thread was faster.
        if let Err(error) = written
            && failed.as_ref().is_none_or(|(first, _)| place < *first)
        {
            failed = Some((place, error));
        }
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    extract(&network, model.preprocess(), &pictures, args.compute.options(), &interrupt::asked, &mut sink)?;
    if let Some((_, error)) = failed {
        return Err(error);
    }
    drop(counter);
    if done < pictures.len() {
        return Err(Interrupted { done, total: pictures.len() }.into());
    }
    skipped.sort_unstable();
    for (_, image, reason) in &skipped {
        context.note(&format!("left out: `{image}`: {reason}"));
    }
    if skipped.len() == pictures.len() {
        let (image, reason) = skipped.first().map(|(_, i, r)| (i.clone(), r.clone())).unwrap_or_default();
        return Err(Unreadable { image, reason }.into());
    }
    let images = file.commit(args.force)?;
    if args.json {
        let left_out: Vec<_> =
            skipped.iter().map(|(_, image, reason)| json!({"image": image, "reason": reason})).collect();
        let kept = pictures.iter().enumerate().filter(|(at, _)| skipped.iter().all(|(s, ..)| s != at));
        context.print_json(&json!({
            "schema": "zoo.features/1",
            "model": spec.name,
            "arch": spec.arch,
            "tensors_sha256": model.provenance().tensors_sha256.to_string(),
            "page_file": model.provenance().page_file.name(),
            "engine": info.name,
            "isa": info.isa,
            "algorithms_version": info.algorithms_version,
            "output": args.output.display().to_string(),
            "images": kept.map(|(_, picture)| &picture.name).collect::<Vec<_>>(),
            "skipped": left_out,
            "levels": levels.iter().map(|level| json_of(level, images)).collect::<Vec<_>>(),
        }))?;
    } else {
        context.print(text(&levels, images))?;
    }
    Ok(Status::Success)
}

/// What the arguments mean, in order; standard input once.
fn pictures(paths: &[PathBuf]) -> Result<Vec<Picture>> {
    let is_stdin = |path: &&PathBuf| path.as_os_str() == "-";
    if paths.iter().filter(is_stdin).count() > 1 {
        return Err(Error::usage("standard input (`-`) can be read once"));
    }
    let mut pictures = Vec::new();
    for path in paths {
        if is_stdin(&path) {
            let mut bytes = Vec::new();
            let mut input = std::io::stdin().lock().take(MAX_STDIN);
            input.read_to_end(&mut bytes).map_err(fs::at("read", Path::new("-")))?;
            pictures.push(Picture::of_bytes("-", bytes));
        } else {
            pictures.extend(Picture::find(path)?);
        }
    }
    Ok(pictures)
}

/// What a `.safetensors` says beside its tensors.
fn metadata(model: &Prepared, [engine, isa, version]: &[&str; 3]) -> BTreeMap<String, String> {
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    BTreeMap::from([
        text("format", "pt"),
        text("model", &model.spec().name),
        text("arch", &model.spec().arch),
        text("tensors_sha256", &model.provenance().tensors_sha256.to_string()),
        text("page_file", model.provenance().page_file.name()),
        text("engine", engine),
        text("isa", isa),
        text("algorithms_version", version),
    ])
}

fn shape(level: &FeatureInfo, images: usize) -> Vec<usize> {
    [images].into_iter().chain(level.shape.iter().copied()).collect()
}

fn json_of(level: &FeatureInfo, images: usize) -> serde_json::Value {
    json!({
        "name": level.name,
        "module": level.module,
        "channels": level.channels,
        "reduction": level.reduction,
        "shape": shape(level, images),
    })
}

/// A line for each tensor.
fn text(levels: &[FeatureInfo], images: usize) -> String {
    let keep = Column::KEEP;
    let columns = vec![
        Column::text("tensor", keep),
        Column::text("shape", keep),
        Column::number("reduction", keep),
        Column::text("layer", keep),
    ];
    let mut table = Table { columns };
    for level in levels {
        let shape = format!("{:?}", shape(level, images));
        table.push([level.name.clone(), shape, level.reduction.to_string(), level.module.clone()]);
    }
    table.terminal(false)
}
