//! Names of tensors, from one scheme to another. Pairs of old and new name go to
//! [`super::Checkpoint::rename`]; a scheme that cannot place every name says which.

mod efficientnet_pytorch;
mod rules;
mod torchvision;

pub use efficientnet_pytorch::{efficientnet_pytorch, is_efficientnet_pytorch};
pub use rules::{Applied, BadRule, Rules};
pub use torchvision::{is_named_as_in_torchvision, torchvision};

/// Names that a scheme cannot place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{scheme} names: {problem}")]
pub struct Error {
    /// The scheme.
    pub scheme: &'static str,
    /// Which name, and why.
    pub problem: String,
}

impl crate::error::Classify for Error {
    fn class(&self) -> crate::error::Class {
        crate::error::Class::BadInput
    }
}
