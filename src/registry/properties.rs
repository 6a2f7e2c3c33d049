//! Properties of the types and of the query language, over values that no page has.

use proptest::prelude::*;

use super::entry::{Claim, Entry};
use super::query::{Lookups, Query, Row};
use super::values::{
    Accuracy, ByteSize, CropPct, Date, Flops, ImageSize, Interpolation, ParamCount, Source, count,
};

proptest! {
    #[test]
    fn an_accuracy_is_printed_as_published(whole in 0u32..100, fraction in "[0-9]{0,4}", sign in "%?", pad in " {0,2}") {
        let digits = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
        let read: Accuracy = format!("{pad}{digits}{pad}{sign}").parse().unwrap();
        prop_assert_eq!(read.to_string(), digits.as_str());
        prop_assert_eq!(read.digits() as usize, fraction.len());
        prop_assert_eq!(read.value, digits.parse::<f64>().unwrap());
        let json = serde_json::to_string(&read).unwrap();
        prop_assert_eq!(serde_json::from_str::<Accuracy>(&json).unwrap(), read);
    }

    #[test]
    fn no_text_reads_as_an_impossible_value(text in "\\PC{0,12}|[-+0-9.eE%, _xXkMGTinfNa]{0,12}") {
        if let Ok(accuracy) = text.parse::<Accuracy>() {
            prop_assert!((0.0..=100.0).contains(&accuracy.value), "{}", text);
        }
        if let Ok(n) = count(&text) {
            prop_assert!(!text.trim_start().starts_with('-') || n == 0, "{}", text);
        }
        if let Ok(size) = text.parse::<ImageSize>() {
            prop_assert!((1..=65536).contains(&size.height) && (1..=65536).contains(&size.width));
        }
        if let Ok(share) = text.parse::<CropPct>() {
            prop_assert!(share.get() > 0.0 && share.get() <= 1.5);
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }
        if let Ok(day) = text.parse::<Date>() {
            prop_assert_eq!(day.to_string(), text.as_str());
        }
        let _ = text.parse::<Interpolation>();
    }

    #[test]
    fn counts_are_exact_or_rounded_once(n in 0u64..1 << 53, tenths in 0u64..10_000) {
        prop_assert_eq!(count(&n.to_string()), Ok(n));
        prop_assert_eq!(ParamCount(n).to_string().parse(), Ok(ParamCount(n)));
        prop_assert_eq!(Flops(n).to_string().parse(), Ok(Flops(n)));
        prop_assert_eq!(serde_json::to_string(&ByteSize(n)).unwrap(), n.to_string());
        let text = n.to_string();
        let thousands: Vec<_> = text.as_bytes().rchunks(3).rev().map(|c| std::str::from_utf8(c).unwrap()).collect();
        prop_assert_eq!(count(&thousands.join(",")), Ok(n));
        for (unit, scale) in [("k", 100), ("M", 100_000), ("G", 100_000_000), ("T", 100_000_000_000u64)] {
            let written = format!("{}.{}{unit}", tenths / 10, tenths % 10);
            prop_assert_eq!(count(&written), Ok(tenths * scale), "{}", written);
        }
    }

    #[test]
    fn sizes_come_back(height in 1usize..=65536, width in 1usize..=65536) {
        let size = ImageSize { height, width };
        prop_assert_eq!(size.to_string().parse(), Ok(size));
        let json = serde_json::to_string(&size).unwrap();
        prop_assert_eq!(serde_json::from_str::<ImageSize>(&json).unwrap(), size);
    }

    #[test]
    fn a_hash_prefix_is_what_the_file_name_ends_in(
        stem in "[a-z0-9_.]{1,12}", mark in "[-_]", digits in "[0-9a-f]{7,8}[a-f]", ending in "(pth|bin|safetensors)", query in "(\\?x=1)?",
        date in "([-_]20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8]))?",
    ) {
        let source = Source(format!("https://example.org/a/{stem}{mark}{digits}{date}.{ending}{query}"));
        prop_assert!(source.is_address());
        let prefix = source.hash_prefix().unwrap();
        prop_assert_eq!(prefix.as_str(), digits);
    }
}

/// A query with a meaning of its own, which the language must have too.
#[derive(Clone, Debug)]
enum Meant {
    Number(&'static str, &'static str, u32),
    Name(&'static str, &'static str),
    Null(&'static str, bool),
    Not(Box<Meant>),
    And(Box<Meant>, Box<Meant>),
    Or(Box<Meant>, Box<Meant>),
}

impl Meant {
    fn text(&self) -> String {
        match self {
            Meant::Number(field, sign, n) => format!("{field}{sign} {n}"),
            Meant::Name(sign, text) => format!("name {sign} '{text}'"),
            Meant::Null(field, is) => format!("{field} is {}null", if *is { "" } else { "not " }),
            Meant::Not(a) => format!("not ({})", a.text()),
            Meant::And(a, b) => format!("({}) AND ({})", a.text(), b.text()),
            Meant::Or(a, b) => format!("(({}) or {})", a.text(), b.text()),
        }
    }

    /// Three-valued, written anew: true, false, or neither.
    fn holds(&self, entry: &Entry) -> Option<bool> {
        let number = |field: &str| match field {
            "params" => entry.params.map(|n| n.0 as f64),
            "flops" => entry.flops.map(|n| n.0 as f64),
            _ => entry.claim.as_ref().map(|c| c.top1.value),
        };
        match self {
            Meant::Number(field, sign, n) => number(field).map(|own| match *sign {
                "<" => own < f64::from(*n),
                "<=" => own <= f64::from(*n),
                ">" => own > f64::from(*n),
                ">=" => own >= f64::from(*n),
                "!=" => own != f64::from(*n),
                _ => own == f64::from(*n),
            }),
            Meant::Name(sign, text) => Some(match *sign {
                "~" => entry.name.contains(text),
                "!~" => !entry.name.contains(text),
                "!=" => entry.name != *text,
                _ => entry.name == *text,
            }),
            Meant::Null(field, is) => Some(number(field).is_none() == *is),
            Meant::Not(a) => a.holds(entry).map(|b| !b),
            Meant::And(a, b) => match (a.holds(entry), b.holds(entry)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Meant::Or(a, b) => match (a.holds(entry), b.holds(entry)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

fn meant() -> impl Strategy<Value = Meant> {
    let fields = prop::sample::select(vec!["params", "flops", "top1"]);
    let leaf = prop_oneof![
        (fields.clone(), prop::sample::select(vec!["<", "<=", ">", ">=", "=", "==", "!="]), 0u32..4)
            .prop_map(|(field, sign, n)| Meant::Number(field, sign, n)),
        (prop::sample::select(vec!["~", "!~", "=", "!="]), prop::sample::select(vec!["a", "ab", "b_1", ""]))
            .prop_map(|(sign, text)| Meant::Name(sign, text)),
        (fields, any::<bool>()).prop_map(|(field, is)| Meant::Null(field, is)),
    ];
    leaf.prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| Meant::Not(Box::new(a))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Meant::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Meant::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    let some = || prop::option::of(0u32..4);
    (prop::sample::select(vec!["a", "ab", "b_1", "cab"]), some(), some(), some()).prop_map(
        |(name, params, flops, top1)| {
            let accuracy = top1.map(|n| n.to_string().parse::<Accuracy>().unwrap());
            Entry {
                name: name.to_owned(),
                params: params.map(|n| ParamCount(n.into())),
                flops: flops.map(|n| Flops(n.into())),
                claim: accuracy.map(|top1| Claim { top1, top5: None, published_top1: None }),
                ..Entry::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn a_query_chooses_what_it_means(meant in meant(), entry in entries()) {
        let text = meant.text();
        let query: Query = text.parse().unwrap();
        let chosen = query.chooses(&Row { entry: &entry, lookups: Lookups::NONE });
        prop_assert_eq!(chosen, meant.holds(&entry) == Some(true), "{} on {:?}", text, entry);
    }
}
