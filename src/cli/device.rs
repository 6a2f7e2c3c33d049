//! `--device`: where a network runs.
//!
//! In: an option's text, the engine. Out: the [`EngineKind`] that computes, and a line that says which card it is. Called by the
//! verbs that run networks.

use std::io::Write as _;
use std::str::FromStr;

use super::Context;
use crate::error::{Error, Result};
use crate::model::{self, EngineKind};
use crate::nn::cuda;

/// Where a network runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Device {
    /// On the first card where there is one, else on the CPU.
    Auto,
    /// On the CPU.
    #[default]
    Cpu,
    /// On the card of that number.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            _ => match text.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(ordinal)) => Ok(Device::Cuda(ordinal)),
                _ => Err("one of auto, cpu, cuda, cuda:N".into()),
            },
        }
    }
}

/// The option, for every verb that runs a network.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct DeviceArgs {
    /// Where the network runs: `cpu`, `cuda` or `cuda:N` (an NVIDIA card; only its driver is needed), or `auto`, a card where there is one
    #[arg(long, default_value = "auto", value_name = "DEVICE", env = "ZOO_DEVICE")]
    device: Device,
}

impl DeviceArgs {
    /// What computes: the engine that was asked for, on the device that was. Of a card, a line says which it is.
    ///
    /// # Errors
    /// A card that was asked for and cannot be used; the reference engine on a card.
    pub(super) fn engine(self, engine: EngineKind, context: &mut Context) -> Result<EngineKind> {
        let ordinal = match (engine, self.device) {
            (EngineKind::Plan, Device::Cuda(ordinal)) => ordinal,
            // A machine without a card, or whose driver cannot be used, has its CPU.
            (EngineKind::Plan, Device::Auto) if cuda::Device::open(0).is_ok() => 0,
            (EngineKind::Plan, Device::Auto | Device::Cpu) => return Ok(EngineKind::Plan),
            (other, Device::Auto | Device::Cpu) => return Ok(other),
            (other, Device::Cuda(_)) => {
                return Err(Error::usage(format!("the {other} engine runs on the CPU only")));
            }
        };
        let device = cuda::Device::open(ordinal).map_err(model::Error::from)?;
        context.note(&format!("on {}", device.info().name));
        if !context.globals.quiet {
            cuda::on_compilation(|card| {
                let name = crate::render::safe::terminal(&card.name);
                let line = format!("{name}: its driver compiles the kernels, once: some seconds\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
            });
        }
        Ok(EngineKind::Cuda(ordinal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_torchs_names() {
        let parse = |text: &str| text.parse::<Device>();
        assert_eq!(parse("auto"), Ok(Device::Auto));
        assert_eq!(parse("cpu"), Ok(Device::Cpu));
        assert_eq!(parse("cuda"), Ok(Device::Cuda(0)));
        assert_eq!(parse("cuda:3"), Ok(Device::Cuda(3)));
        for bad in ["gpu", "cuda:", "cuda:x", "cuda:-1", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
