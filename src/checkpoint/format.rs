//! The formats that checkpoints come in, by name. Which of them a file is says [`super::sniff`]. Used by every
//! reader, by `inspect` and by `scan`.

use std::fmt;

/// A checkpoint's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// torch's since 1.6.
    TorchZip,
    /// torch's before 1.6.
    TorchLegacy,
    /// torch's of 2016.
    TorchTar,
    /// `torch.jit.save`.
    TorchScript,
    /// One pickle, of arrays.
    Pickle,
    /// numpy's, of one array.
    Npy,
    /// numpy's, of several.
    Npz,
    /// safetensors.
    Safetensors,
    /// safetensors in several files, by their index.
    ShardedSafetensors,
    /// torch's in several files, by their index.
    ShardedTorch,
    /// A zip archive that is none of the above; it can be scanned.
    Zip,
    /// A tar archive that is none of the above; it can be scanned.
    Tar,
}

impl Format {
    /// As printed.
    pub const fn name(self) -> &'static str {
        match self {
            Format::TorchZip => "torch-zip",
            Format::TorchLegacy => "torch-legacy",
            Format::TorchTar => "torch-tar",
            Format::TorchScript => "torch-jit",
            Format::Pickle => "pickle",
            Format::Npy => "npy",
            Format::Npz => "npz",
            Format::Safetensors => "safetensors",
            Format::ShardedSafetensors => "safetensors-sharded",
            Format::ShardedTorch => "torch-sharded",
            Format::Zip => "zip",
            Format::Tar => "tar",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
