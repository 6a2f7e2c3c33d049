//! `zoo bench NAME`: how fast a model runs here, and where its time goes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::device::DeviceArgs;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::model::{Bench, EngineKind, LayerTime, ModelSpec};
use crate::nn::plan::MAX_SIDE;
use crate::registry::Registry;
use crate::render::safe;

/// Arguments of `zoo bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model, as `zoo list` names it, a .safetensors file with its sidecar, a folder with timm's config.json, or an architecture; with stand-in weights unless the real ones are here
    name: String,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Image side in pixels [default: the entry's, or 224]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=MAX_SIDE as i64))]
    size: Option<u32>,
    /// Single images to time for the latency
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How long to measure throughput; 0 skips it
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Also time each layer on one thread and compare it with what this machine can do
    #[arg(long)]
    layers: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures latency, then throughput, then layers.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    if !(0.0..=3600.0).contains(&args.seconds) {
        return Err(Error::usage("`--seconds` takes 0 to 3600"));
    }
    let size = args.size.map(|s| [s as usize; 2]);
    let registry = Registry::open(&context.globals.registry)?;
    let engine = args.device.engine(EngineKind::Plan, context)?;
    let bench = match registry.resolve(&args.name) {
        Ok(entry) => {
            // A measurement downloads nothing.
            context.globals.offline = true;
            Bench::entry(engine, entry, &context.store()?, size)?
        }
        Err(_) if crate::arch::names().contains(&args.name.as_str()) => {
            Bench::architecture(engine, &args.name, size.unwrap_or([224; 2]))?
        }
        Err(_) if ModelSpec::is_path(&args.name) => {
            Bench::file(engine, &ModelSpec::open(Path::new(&args.name))?, size)?
        }
        Err(unknown) => return Err(unknown.into()),
    };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or_else(cores, usize::from);
    let latency = bench.latency(threads, args.runs as usize)?;
    let seconds = Duration::from_secs_f64(args.seconds);
    let rate = if seconds.is_zero() { None } else { Some(bench.throughput(threads, seconds)?) };
    let layers = if args.layers { bench.layers(args.runs as usize)? } else { None };
    if args.layers && layers.is_none() {
        return Err(Error::usage("`--layers` measures the CPU: add `--device cpu`"));
    }
    let on_card = bench.on_card(args.runs as usize)?;

    let [height, width] = bench.size();
    if args.json {
        let value = json!({
            "schema": "zoo.bench/1",
            "model": args.name,
            "weights": weights(&bench),
            "threads": threads,
            "batch": bench.batch(),
            "device": bench.device().unwrap_or("cpu"),
            "size": [height, width],
            "isa": bench.isa(),
            "latency": latency,
            "throughput": rate.map(|r| json!({"images_per_second": r, "on_card": on_card})),
            "roofline": layers.as_ref().map(|(limits, _)| json!({
                "gflops": limits.flops / 1e9,
                "reads": limits.reads.iter().map(|(bytes, rate)| {
                    json!({"bytes": bytes, "gb_per_second": rate / 1e9})
                }).collect::<Vec<_>>(),
            })),
            "layers": layers.as_ref().map(|(_, layers)| layers),
        });
        context.print_json(&value)?;
        return Ok(Status::Success);
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}  {height}x{width}  {}  {threads} threads  {} weights",
        safe::terminal(&args.name),
        bench.isa(),
        weights(&bench)
    );
    let l = &latency;
    let _ = writeln!(
        text,
        "latency     {:.2} ms  (median of {}; {:.2} to {:.2})",
        l.median_ms, l.runs, l.min_ms, l.max_ms
    );
    if let Some(rate) = rate {
        let _ = match on_card {
            Some(on_card) => writeln!(
                text,
                "throughput  {rate:.1} images/s from host memory, {on_card:.1} of images on the card, in batches of {}",
                bench.batch()
            ),
            None => writeln!(text, "throughput  {rate:.1} images/s"),
        };
    }
    if let Some((limits, layers)) = &layers {
        let reads: Vec<_> = limits.reads.iter().map(|(_, rate)| format!("{:.0}", rate / 1e9)).collect();
        let _ = writeln!(
            text,
            "one thread at most: {:.1} GFLOP/s; reads {} GB/s from cache, large cache, memory\n",
            limits.flops / 1e9,
            reads.join(", ")
        );
        table(&mut text, layers);
    }
    context.print(text)?;
    Ok(Status::Success)
}

fn weights(bench: &Bench) -> &'static str {
    if bench.seeded() { "seeded" } else { "fetched" }
}

/// A layer a line, and the sum.
fn table(text: &mut String, layers: &[LayerTime]) {
    let width = layers.iter().map(|l| l.name.len()).max().unwrap_or(0).max(5);
    let total: f64 = layers.iter().map(|l| l.ms).sum();
    let _ = writeln!(text, "{:width$}        ms  share  GFLOP/s  roofline", "layer");
    for l in layers {
        let _ = writeln!(
            text,
            "{:width$}  {:8.3}  {:3.0} %  {:7.1}  {:6.0} %",
            safe::terminal(&l.name),
            l.ms,
            100.0 * l.ms / total,
            l.gflops,
            100.0 * l.roofline
        );
    }
    let macs: f64 = layers.iter().map(|l| l.macs as f64).sum();
    let _ = writeln!(text, "{:width$}  {total:8.3}  100 %  {:7.1}", "all", 2e-6 * macs / total);
}
