//! What computes, and on how many threads: the options of every verb that runs a network over many images.

use super::Context;
use super::device::DeviceArgs;
use crate::error::Result;
use crate::model::{EngineKind, ExtractOptions};

/// The engine, and how the work is shared out. Nothing here changes a result but the engine.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Compute {
    /// What computes the network
    #[arg(long, default_value_t = EngineKind::default(), value_name = "ENGINE")]
    engine: EngineKind,
    #[command(flatten)]
    device: DeviceArgs,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Images computed together; the result does not change [default: what the engine prefers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
}

impl Compute {
    /// What computes, on which device.
    ///
    /// # Errors
    /// A device that cannot be used.
    pub(super) fn engine(&self, context: &mut Context) -> Result<EngineKind> {
        self.device.engine(self.engine, context)
    }

    /// Workers.
    pub(super) fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }

    /// For the library.
    pub(super) fn options(&self) -> ExtractOptions {
        ExtractOptions { threads: self.threads(), batch: self.batch.map(usize::from) }
    }
}
