//! How weights were made, as their page says it.
//!
//! In: a model with what its collections add. Out: [`Training`]. Called by `zoo show` and by the page and card
//! templates. Pages write these as they like (`0.1`, `0.1 → 0.001`, `6 days`), so a [`Setting`] keeps its text,
//! and its number where it is one.

use super::tree::{Node, View};

/// How weights were made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Training {
    /// Datasets.
    pub data: Vec<String>,
    /// Such as `Label Smoothing`.
    pub techniques: Vec<String>,
    /// Such as `8x NVIDIA V100 GPUs`.
    pub resources: Vec<String>,
    /// Such as `6 days`.
    pub time: Option<String>,
    /// Epochs, batch size, rates, in [`SETTINGS`]'s order.
    pub settings: Vec<Setting>,
}

/// One hyperparameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its key, such as `Weight Decay`.
    pub name: &'static str,
    /// As the page writes it, such as `1.0e-05`.
    pub text: String,
}

impl Setting {
    /// Its value, where it is one number.
    pub fn number(&self) -> Option<f64> {
        self.text.trim().parse().ok().filter(|n: &f64| n.is_finite())
    }
}

/// The keys of hyperparameters on timm's pages and in the format.
pub const SETTINGS: &[&str] = &[
    "Epochs",
    "Batch Size",
    "Minibatch Size",
    "Training Steps",
    "Warmup Steps",
    "LR",
    "LR Gamma",
    "LR Step Size",
    "Momentum",
    "Weight Decay",
    "RMSProp Decay",
    "BatchNorm Momentum",
    "Dropout",
    "Stochastic Depth Survival",
    "Label Smoothing",
];

impl Training {
    /// What the metadata of a model says.
    pub fn of(model: &View<'_>) -> Self {
        let metadata = model.field("Metadata");
        let field = |name: &str| metadata.as_ref().and_then(|m| m.field(name));
        let texts = |name: &str| field(name).map(|v| texts(v.node())).unwrap_or_default();
        let setting = |name: &&'static str| {
            let values = texts(name);
            (!values.is_empty()).then(|| Setting { name, text: values.join(", ") })
        };
        let time = texts("Training Time");
        Training {
            data: texts("Training Data"),
            techniques: texts("Training Techniques"),
            resources: texts("Training Resources"),
            time: (!time.is_empty()).then(|| time.join(", ")),
            settings: SETTINGS.iter().filter_map(setting).collect(),
        }
    }

    /// Everything that is said: the page's keys, and values on one line each.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let list = |name, values: &[String]| (!values.is_empty()).then(|| (name, values.join(", ")));
        let lists = [
            list("Training Data", &self.data),
            list("Training Techniques", &self.techniques),
            list("Training Resources", &self.resources),
            self.time.clone().map(|time| ("Training Time", time)),
        ];
        let settings = self.settings.iter().map(|s| (s.name, s.text.clone()));
        lists.into_iter().flatten().chain(settings).collect()
    }
}

/// The texts of a value or a list of them.
pub fn texts(node: &Node) -> Vec<String> {
    node.one_or_many().iter().filter_map(Node::text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::format;

    #[test]
    fn what_a_page_says_is_kept_as_it_says_it() {
        let text = b"Models:\n- Name: a\n  Metadata: {Training Data: ImageNet, training_techniques: [A, B], LR: 1.0e-05, \
            Epochs: 300+10, Training Time: [6 days], Batch Size: null}\n";
        let index = format::page("p.yaml", text);
        let training = Training::of(&index.models[0].full());
        assert_eq!(training.techniques, ["A", "B"]);
        assert_eq!(training.settings.iter().map(Setting::number).collect::<Vec<_>>(), [None, Some(1e-5)]);
        let lines: Vec<_> = training.lines().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            lines,
            [
                "Training Data=ImageNet",
                "Training Techniques=A, B",
                "Training Time=6 days",
                "Epochs=300+10",
                "LR=1.0e-05"
            ]
        );
    }
}
