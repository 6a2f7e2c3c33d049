//! The kernels' text: PTX, made ahead by `kernels/make.py`, which the driver compiles for its card.
//!
//! In: a kernel's name. Out: a module with it alone, so that the driver compiles only the kernels that a network needs.
//! Called by [`super::driver`]. The first line of the text has the SHA-256 of the sources that it was made from.

use std::io::Read as _;
use std::sync::OnceLock;

use super::error::Error;

/// The name and version of the kernels in reports: the number rises whenever the same weights and image could give other
/// bits.
pub const KERNELS: &str = "cuda/2";

/// Of the driver that can read the text (`.version 7.8`), as `cuDriverGetVersion` says it.
pub(super) const OLDEST_DRIVER: i32 = 11080;

/// The major compute capability that the text is for (`.target sm_60`).
pub(super) const OLDEST_CAPABILITY: i32 = 6;

/// zlib.
static PACKED: &[u8] = include_bytes!("kernels.ptx.z");

const ENTRY: &str = ".visible .entry ";

/// The text, unpacked when it is first needed.
fn text() -> Result<&'static str, Error> {
    static TEXT: OnceLock<Result<String, Error>> = OnceLock::new();
    let unpack = || {
        let mut text = String::new();
        let read = flate2::read::ZlibDecoder::new(PACKED).read_to_string(&mut text);
        read.map(|_| text).map_err(|e| Error::Kernels { reason: e.to_string() })
    };
    TEXT.get_or_init(unpack).as_deref().map_err(Error::clone)
}

/// A module with one kernel.
pub(super) fn of(name: &str) -> Result<String, Error> {
    let text = text()?;
    let none = || Error::Kernels { reason: format!("no kernel `{name}`") };
    let (head, _) = text.split_once(ENTRY).ok_or_else(none)?;
    let start = text.find(&format!("{ENTRY}{name}(")).ok_or_else(none)?;
    let rest = text.get(start..).unwrap_or_default();
    let end = rest.find("\n}").ok_or_else(none)?;
    let kernel = rest.get(..end).unwrap_or_default();
    let is_directive =
        |line: &&str| [".version", ".target", ".address_size"].iter().any(|d| line.starts_with(d));
    // Shared memory that several kernels have lies before them all.
    let is_needed = |line: &&str| shared(line).is_some_and(|name| kernel.contains(name));
    let lines = head.lines().filter(|line| is_directive(line) || is_needed(line));
    let mut module: String = lines.flat_map(|line| [line, "\n"]).collect();
    module.push_str(kernel);
    module.push_str("\n}\n");
    Ok(module)
}

/// The name of what a line like `.shared .align 4 .b8 NAME[4096];` declares.
fn shared(line: &str) -> Option<&str> {
    line.strip_prefix(".shared ")?.split_whitespace().last()?.split('[').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the order of `SOURCES` in make.py.
    const SOURCES: [&[u8]; 5] = [
        include_bytes!("kernels/common.cu"),
        include_bytes!("kernels/conv.cu"),
        include_bytes!("kernels/depthwise.cu"),
        include_bytes!("kernels/map.cu"),
        include_bytes!("kernels/channels.cu"),
    ];

    #[test]
    fn the_text_is_of_these_sources() {
        let sha256 = zoo_common::hash::Sha256::of(&SOURCES.concat());
        let first = text().unwrap().lines().next().unwrap();
        assert!(first.starts_with(&format!("// sources {sha256}, NVRTC ")), "run kernels/make.py: {first}");
    }

    #[test]
    fn every_kernel_is_a_module_of_its_own() {
        let names: Vec<&str> =
            text().unwrap().split(ENTRY).skip(1).filter_map(|t| t.split('(').next()).collect();
        assert!(names.len() > 30, "{names:?}");
        for name in names {
            let module = of(name).unwrap();
            assert_eq!(module.matches(ENTRY).count(), 1, "{name}");
            assert!(module.starts_with(".version 7.8\n.target sm_60\n.address_size 64\n"), "{name}");
            // Whatever a kernel names that is no register, label or parameter of its own is declared.
            let symbols = module.split(|c: char| !c.is_alphanumeric() && c != '_');
            for symbol in symbols.filter(|s| s.starts_with("_Z")) {
                assert!(module.contains(&format!(" {symbol}[")), "{name}: {symbol}");
            }
            assert_eq!(module.matches('{').count(), module.matches('}').count(), "{name}");
        }
        assert!(of("none").is_err());
    }
}
