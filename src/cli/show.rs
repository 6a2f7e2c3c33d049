//! `zoo show NAME`: one entry whole, or with `--tree` its network.

use super::{Context, Status};
use crate::error::{Class, Classify, Result};
use crate::model::macs;
use crate::nn::describe::{Description, describe};
use crate::registry::format::{Record, document, fields};
use crate::registry::query::Lookups;
use crate::registry::training::{Training, texts};
use crate::registry::tree::{same_field, to_yaml};
use crate::registry::{Entry, Registry, pages};
use crate::render::entry::{short_bytes, short_count, to_json};
use crate::render::list::MARK;
use crate::render::{fold, safe, tree};

/// Arguments of `zoo show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    name: String,
    /// Print its network: modules, shapes, parameters and multiply-adds; NAME may also be an architecture
    #[arg(long)]
    tree: bool,
    /// How many levels of modules `--tree` shows [default: all]
    #[arg(long, value_name = "N", requires = "tree")]
    depth: Option<usize>,
    /// A JSON object with the keys of `zoo list --json`
    #[arg(long)]
    json: bool,
    /// Its page in model-index form, which `zoo import` reads; what the page says, corrections not applied
    #[arg(long, conflicts_with_all = ["json", "tree"])]
    yaml: bool,
    /// Values as published, corrections not applied
    #[arg(long, conflicts_with = "tree")]
    as_published: bool,
}

/// An entry whose network is not known.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` names no architecture, so it has no tree")]
struct NoArchitecture(String);

impl Classify for NoArchitecture {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// Prints the entry.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    if args.tree {
        let described = network(&registry, &args.name)?;
        match args.json {
            true => context.print_json(&tree::json(&described))?,
            false => context.print(tree::text(&described, args.depth))?,
        }
        return Ok(Status::Success);
    }
    context.warn(registry.warnings());
    let entry = registry.resolve(&args.name)?;
    if args.yaml {
        context.print(yaml(entry, context)?)?;
        return Ok(Status::Success);
    }
    let entry = if args.as_published { entry.as_published() } else { entry };
    if args.json {
        let levels = context.levels()?;
        let golden = |e: &Entry| Some(levels.of(e).name());
        context.print_json(&to_json(entry, Lookups { macs, golden: &golden }))?;
        return Ok(Status::Success);
    }
    let record = pages::record(entry, &context.globals.registry)?;
    context.print(sheet(&lines(entry, record.as_ref()), context.width))?;
    Ok(Status::Success)
}

/// Keys and values in two columns; long values go on below, as far as the terminal is wide.
fn sheet(lines: &[(String, String)], most: Option<usize>) -> String {
    let keys: Vec<_> = lines.iter().map(|(key, _)| safe::terminal(key)).collect();
    let width = keys.iter().map(|key| key.chars().count()).max().unwrap_or(0).min(26);
    let mut out = String::new();
    for (key, (_, value)) in keys.iter().zip(lines) {
        out += &format!("{key:width$}  ");
        let head = width.max(key.chars().count()) + 2;
        fold::words(&safe::terminal(value), most, head, width + 2, &mut out);
    }
    out
}

/// The entry and its collections as a model-index of their own.
fn yaml(entry: &Entry, context: &Context) -> Result<String> {
    let mut index = pages::with(&context.globals.registry)?;
    index.models.retain(|m| {
        m.name() == Some(&entry.name)
            && m.collections().next() == entry.collection.as_deref()
            && *m.own.file == *entry.origin
    });
    index.models.truncate(1);
    let named: Vec<String> = index.models.iter().flat_map(|m| m.collections()).map(str::to_owned).collect();
    index.collections.retain(|c| c.name().is_some_and(|n| named.iter().any(|name| name == n)));
    Ok(to_yaml(&document(&index)))
}

/// The network of an entry at the entry's size, or of an architecture at 224 pixels.
fn network(registry: &Registry, name: &str) -> Result<Description> {
    let (arch, [height, width]) = match registry.resolve(name) {
        Ok(entry) => {
            let arch = entry.zoo.arch.clone().ok_or_else(|| NoArchitecture(entry.name.clone()))?;
            (arch, entry.image_size.map_or([224, 224], |s| [s.height, s.width]))
        }
        Err(_) if crate::arch::names().contains(&name) => (name.to_owned(), [224, 224]),
        Err(unknown) => return Err(unknown.into()),
    };
    let graph = crate::arch::build(&arch, 1000)?;
    Ok(describe(&graph, [1, 3, height, width])?)
}

/// What is known, in reading order; corrected values are marked, and at the end it says why.
fn lines(entry: &Entry, record: Option<&Record>) -> Vec<(String, String)> {
    let page = facts(entry.as_published());
    let mark = |(key, value): (&'static str, Option<String>), page: &Option<String>| {
        let corrected = value != *page;
        let value = value.or_else(|| corrected.then(|| "unknown".into()))?;
        Some((key.to_owned(), if corrected { format!("{value} {MARK}") } else { value }))
    };
    let own = facts(entry).into_iter().zip(page);
    let mut lines: Vec<_> = own.filter_map(|(own, (_, page))| mark(own, &page)).collect();
    lines.extend(entry.sources.iter().skip(1).map(|s| ("weights".to_owned(), s.to_string())));
    let published = entry.paper.as_ref().and_then(|paper| paper.published_url.clone());
    lines.extend(published.map(|url| ("paper, on the page".to_owned(), url)));
    for result in &entry.results {
        let metrics: Vec<_> = result.metrics.iter().map(|m| format!("{} {}", m.name, m.text)).collect();
        lines.push((
            "result".to_owned(),
            format!("{} on {}: {}", result.task, result.dataset, metrics.join(", ")),
        ));
    }
    lines.extend(record.into_iter().flat_map(beside));
    lines.push(("from".to_owned(), entry.origin.clone()));
    for c in &entry.corrections {
        let right = c.right.as_deref().unwrap_or("unknown");
        let text = format!(
            "{MARK} {}: the page says {}, right is {right}: {} ({})",
            c.field, c.page, c.evidence, c.date
        );
        lines.push(("corrected".to_owned(), text));
    }
    lines
}

/// What the page says beside the facts above: how the weights were made, then every other key of the metadata.
fn beside(record: &Record) -> Vec<(String, String)> {
    let full = record.full();
    let training = Training::of(&full).lines();
    let is_shown = |key: &str| {
        let of_training = training.iter().map(|(name, _)| *name);
        fields::TYPED.iter().copied().chain(of_training).any(|name| same_field(name, key))
    };
    let metadata = full.field("Metadata");
    let others = metadata.iter().flat_map(|m| m.entries()).filter(|(key, _)| !is_shown(key.text()));
    let other = |(key, value): (&crate::registry::tree::Key, crate::registry::tree::View<'_>)| {
        let texts = texts(value.node());
        // The architecture by its name is shown above; the page's list is of its parts.
        let key = if same_field(key.text(), "Architecture") { "built of" } else { key.text() };
        (!texts.is_empty()).then(|| (key.to_owned(), texts.join(", ")))
    };
    let others: Vec<_> = others.filter_map(other).collect();
    let training = training.iter().filter(|(name, _)| *name != "Training Data");
    let training = training.map(|(name, value)| (name.to_lowercase(), value.clone()));
    training.chain(others.into_iter().map(|(key, value)| (key.to_lowercase(), value))).collect()
}

fn facts(entry: &Entry) -> [(&'static str, Option<String>); 20] {
    let claim = entry.claim.as_ref();
    let triple = |t: Option<[f32; 3]>| t.map(|t| t.map(|x| x.to_string()).join(", "));
    let exactly = |n: u64| format!("{n} ({})", short_count(n));
    let zoo = &entry.zoo;
    let paper = entry.paper.as_ref();
    [
        ("name", Some(entry.name.clone())),
        ("collection", entry.collection.clone()),
        ("paper", paper.and_then(|p| p.title.clone())),
        ("paper at", paper.and_then(|p| p.url.clone())),
        ("architecture", zoo.arch.clone()),
        ("trained on", (!entry.training_data.is_empty()).then(|| entry.training_data.join(", "))),
        ("top-1", claim.map(|c| format!("{} %", c.top1))),
        ("top-5", claim.and_then(|c| c.top5.as_ref()).map(|a| format!("{a} %"))),
        ("parameters", entry.params.map(|n| exactly(n.0))),
        ("exactly", zoo.params.map(|n| n.to_string())),
        ("flops", entry.flops.map(|n| exactly(n.0))),
        ("image size", entry.image_size.map(|s| s.to_string())),
        ("crop", entry.crop_pct.map(|c| c.to_string())),
        ("interpolation", entry.interpolation.map(|i| i.name().to_owned())),
        ("mean, std", triple(zoo.mean).zip(triple(zoo.std)).map(|(m, s)| format!("{m}; {s}"))),
        ("licence", zoo.licence.clone()),
        ("file size", entry.file_size.map(|n| format!("{n} bytes ({})", short_bytes(n.0)))),
        ("sha256", zoo.sha256.map(|h| h.to_string())),
        ("code", entry.code.clone()),
        ("weights", entry.sources.first().map(ToString::to_string)),
    ]
}
