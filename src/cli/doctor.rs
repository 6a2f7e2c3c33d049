//! `zoo doctor`: whether this machine has what zoo may need, and where zoo will look.

use std::process::{Command, Stdio};

use super::progress::bytes;
use super::{Context, Status};
use crate::error::Result;
use crate::nn::cuda;
use crate::nn::kernels::Isa;
use crate::registry::Registry;
use crate::store::{OtherCaches, Store};

/// Arguments of `zoo doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One thing looked at.
#[derive(Debug, serde::Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    found: String,
    /// What goes without it.
    needed_for: &'static str,
}

/// Looks at everything; exit 1 when something is missing.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let store = context.store()?;
    let checks = vec![
        cache(&store),
        room(&store),
        registry(context),
        pip(),
        processor(),
        cards(),
        other_caches(),
        network(context),
    ];
    if args.json {
        context.print_json(&checks)?
    } else {
        for check in &checks {
            let mark = if check.ok { "ok" } else { "missing" };
            let found = crate::render::safe::terminal(&check.found);
            context.println(format!("{mark:<8} {:<12} {found}", check.name))?;
            if !check.ok {
                context.println(format!("{:<21} needed for {}", "", check.needed_for))?;
            }
        }
    }
    Ok(if checks.iter().all(|c| c.ok) { Status::Success } else { Status::No })
}

fn cache(store: &Store) -> Check {
    let (ok, found) = match store.inventory() {
        Ok(items) => {
            let total = items.iter().map(|i| i.bytes).sum();
            (true, format!("{}, {} items, {}", store.home().display(), items.len(), bytes(total)))
        }
        Err(error) => (false, error.to_string()),
    };
    Check { name: "cache", ok, found, needed_for: "everything that is fetched" }
}

/// The largest file of the registry is 1.9 GB, and its conversion takes as much again.
const MIN_FREE_SPACE: u64 = 4_000_000_000;

fn room(store: &Store) -> Check {
    let (ok, found) = match rustix::fs::statvfs(store.home()) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            (free >= MIN_FREE_SPACE, format!("{} free", bytes(free)))
        }
        Err(error) => (false, error.to_string()),
    };
    Check { name: "disk", ok, found, needed_for: "the largest weights and their conversion: 4 GB" }
}

fn registry(context: &Context) -> Check {
    let (ok, found) = match Registry::open(&context.globals.registry) {
        Ok(r) => (true, format!("{} models, {} datasets", r.models().len(), r.datasets().len())),
        Err(error) => (false, error.to_string()),
    };
    Check { name: "registry", ok, found, needed_for: "names" }
}

fn pip() -> Check {
    let mut command = Command::new("python3");
    command.args(["-I", "-m", "pip", "--version"]).stdin(Stdio::null()).current_dir("/");
    let (ok, found) = match command.output() {
        Ok(output) if output.status.success() => {
            (true, String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => (false, String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => (false, format!("python3: {error}")),
    };
    Check { name: "pip", ok, found, needed_for: "`pypi:` sources, such as the sample images" }
}

fn processor() -> Check {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (ok, kernels) = match Isa::from_env() {
        Ok(isa) => (true, isa.name().to_owned()),
        Err(error) => (false, error.to_string()),
    };
    let found = format!("{threads} threads, {}, kernels for {kernels}", std::env::consts::ARCH);
    Check { name: "processor", ok, found, needed_for: "the instruction set that ZOO_ISA asks for" }
}

fn cards() -> Check {
    let found = match cuda::Device::all() {
        Ok(cards) if cards.is_empty() => "NVIDIA's driver, and no card".to_owned(),
        Ok(cards) => {
            let one = |card: &cuda::DeviceInfo| {
                let [major, minor] = card.capability;
                let memory = bytes(card.memory as u64);
                format!(
                    "cuda:{} {}, {memory}, compute capability {major}.{minor}, driver for CUDA {}.{}",
                    card.ordinal,
                    card.name,
                    card.driver / 1000,
                    card.driver % 1000 / 10
                )
            };
            cards.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        Err(error) => error.to_string(),
    };
    Check { name: "cards", ok: true, found, needed_for: "`--device cuda`; there is always the CPU" }
}

fn other_caches() -> Check {
    let caches = OtherCaches::from_env();
    let there: Vec<_> =
        [caches.torch, caches.hugging_face].into_iter().flatten().filter(|p| p.is_dir()).collect();
    let found = if there.is_empty() {
        "neither torch's nor Hugging Face's is here".to_owned()
    } else {
        there.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    Check { name: "other caches", ok: true, found, needed_for: "not downloading twice" }
}

fn network(context: &Context) -> Check {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let proxies: Vec<_> = names.iter().filter(|n| set(n)).copied().collect();
    let mut found =
        if context.globals.offline { "ruled out by `--offline`".to_owned() } else { "allowed".to_owned() };
    if !proxies.is_empty() {
        found = format!("{found}, through {}", proxies.join(", "));
    }
    if let Some(mirror) = &context.globals.mirror {
        found = format!("{found}, asking the mirror {mirror} first");
    }
    Check { name: "network", ok: true, found, needed_for: "fetching" }
}
