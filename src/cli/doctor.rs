//! `zoo doctor`: whether this machine has what zoo may need, where zoo will look, and what to do about what is missing.

use std::process::{Command, Stdio};

use super::progress::bytes;
use super::{Context, Status};
use crate::error::{Classify, Result};
use crate::nn::cuda;
use crate::nn::kernels::Isa;
use crate::registry::Registry;
use crate::store::{self, Lock, OtherCaches, Store, Tidy};

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
    /// What to do, where something is missing or could be better.
    advice: Option<String>,
}

/// Looks at everything; exit 1 when something is missing.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let mut checks = match context.store() {
        Ok(store) => vec![cache(&store), leftovers(&store), room(&store), pins(&store)],
        Err(error) => vec![no_store(&error)],
    };
    checks.extend([
        registry(context),
        pip(),
        processor(),
        cards(),
        other_caches(),
        network(context),
        certificates(),
    ]);
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
            if let Some(advice) = &check.advice {
                context.println(format!("{:<21} {}", "", crate::render::safe::terminal(advice)))?;
            }
        }
    }
    Ok(if checks.iter().all(|c| c.ok) { Status::Success } else { Status::No })
}

fn cache(store: &Store) -> Check {
    let (ok, found, advice) = match (store.inventory(), store.can_write()) {
        (Ok(items), written) => {
            let total = items.iter().map(|i| i.bytes).sum();
            let found = format!("{}, {} items, {}", store.home().display(), items.len(), bytes(total));
            match written {
                Ok(()) => (true, found, None),
                Err(error) => (
                    false,
                    format!("{found}; {error}"),
                    Some(
                        "what is in it can be used; to fetch, set ZOO_HOME to a folder that can be written"
                            .to_owned(),
                    ),
                ),
            }
        }
        (Err(error), _) => {
            let advice = error.hint().unwrap_or_else(|| "set ZOO_HOME to another folder".to_owned());
            (false, error.to_string(), Some(advice))
        }
    };
    Check { name: "cache", ok, found, needed_for: "everything that is fetched", advice }
}

/// A cache that cannot be opened, a mirror or lock that cannot be read.
fn no_store(error: &crate::Error) -> Check {
    let advice = error.hint().unwrap_or_else(|| {
        "set ZOO_HOME to a folder that can be made and written; look at `--mirror` and `--lock`".to_owned()
    });
    let found = error.to_string();
    Check { name: "cache", ok: false, found, needed_for: "everything that is fetched", advice: Some(advice) }
}

/// What killed processes left, and files that are here twice.
fn leftovers(store: &Store) -> Check {
    let sum = |tidy: Tidy| {
        let items = store.garbage(&tidy).unwrap_or_default();
        (items.len(), items.iter().map(|i| i.bytes).sum::<u64>())
    };
    let (count, size) = sum(Tidy::default());
    let (_, with_sources) = sum(Tidy { sources: true, ..Tidy::default() });
    let twice = with_sources.saturating_sub(size);
    let mut advice = Vec::new();
    if count > 0 {
        advice.push(format!(
            "`zoo cache gc` frees {}; downloads that broke off would be gone on with",
            bytes(size)
        ));
    }
    if twice > 0 {
        advice.push(format!(
            "`zoo cache gc --sources` frees {} of files that have been converted",
            bytes(twice)
        ));
    }
    let found =
        format!("{count} leftovers, {}; converted files beside their source, {}", bytes(size), bytes(twice));
    let advice = (!advice.is_empty()).then(|| advice.join("; "));
    Check { name: "leftovers", ok: true, found, needed_for: "nothing", advice }
}

/// The largest file of the registry is 1.9 GB, and its conversion takes as much again.
const MIN_FREE_SPACE: u64 = 4_000_000_000;

fn room(store: &Store) -> Check {
    let free = store.free_space();
    let ok = free.is_none_or(|free| free >= MIN_FREE_SPACE);
    let found =
        free.map_or_else(|| "the system does not tell".to_owned(), |free| format!("{} free", bytes(free)));
    let advice = (!ok).then(|| {
        "free some space (`zoo cache du` says what takes how much, `zoo cache gc --max-size` removes), or set ZOO_HOME to a \
         folder on a larger disk"
            .to_owned()
    });
    Check { name: "disk", ok, found, needed_for: "the largest weights and their conversion: 4 GB", advice }
}

/// The user's own lock file, which every fetch reads.
fn pins(store: &Store) -> Check {
    let path = store.home().join("zoo.lock");
    let (ok, found, advice) = if !path.exists() {
        (true, "none yet".to_owned(), None)
    } else {
        match Lock::open(&path) {
            Ok(lock) => (true, format!("{} in {}", lock.pins().count(), path.display()), None),
            Err(error) => (
                false,
                error.to_string(),
                Some("mend or remove that line; without the file each digest is pinned anew when its file is fetched".to_owned()),
            ),
        }
    };
    Check { name: "pins", ok, found, needed_for: "every fetch", advice }
}

fn registry(context: &Context) -> Check {
    let (ok, found, advice) = match Registry::open(&context.globals.registry) {
        Ok(r) => (true, format!("{} models, {} datasets", r.models().len(), r.datasets().len()), None),
        Err(error) => {
            let advice = error
                .hint()
                .unwrap_or_else(|| "look at what `--registry` names: `zoo lint` tells all".to_owned());
            (false, error.to_string(), Some(advice))
        }
    };
    Check { name: "registry", ok, found, needed_for: "names", advice }
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
    let advice = (!ok).then(|| "install Python 3 with pip (on Debian: `apt install python3-pip`)".to_owned());
    Check { name: "pip", ok, found, needed_for: "`pypi:` sources, such as the sample images", advice }
}

fn processor() -> Check {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (ok, kernels) = match Isa::from_env() {
        Ok(isa) => (true, isa.name().to_owned()),
        Err(error) => (false, error.to_string()),
    };
    let found = format!("{threads} threads, {}, kernels for {kernels}", std::env::consts::ARCH);
    let advice = (!ok).then(|| "unset ZOO_ISA, or set it to one that this processor has".to_owned());
    Check { name: "processor", ok, found, needed_for: "the instruction set that ZOO_ISA asks for", advice }
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
    Check {
        name: "cards",
        ok: true,
        found,
        needed_for: "`--device cuda`; there is always the CPU",
        advice: None,
    }
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
    Check { name: "other caches", ok: true, found, needed_for: "not downloading twice", advice: None }
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
    Check { name: "network", ok: true, found, needed_for: "fetching", advice: None }
}

/// Whom `https:` trusts.
fn certificates() -> Check {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    let (ok, found, advice) = match (store::check_certificates(), set("SSL_CERT_FILE")) {
        (Ok(()), Some(file)) => (true, format!("those of {}", file.display()), None),
        (Ok(()), None) => (true, "the system's".to_owned(), None),
        (Err(error), _) => (false, error.to_string(), error.hint()),
    };
    Check { name: "certificates", ok, found, needed_for: "`https:` addresses", advice }
}
