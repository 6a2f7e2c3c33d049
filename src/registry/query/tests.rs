//! The language chooses what its documentation says, and whatever is typed ends in a query or a place.

use proptest::prelude::*;

use super::super::Registry;
use super::*;

fn chosen(text: &str) -> Vec<String> {
    let query: Query = text.parse().unwrap();
    let registry = Registry::builtin().unwrap();
    let row = |entry| Row { entry, lookups: Lookups::NONE };
    registry.models().iter().filter(|e| query.chooses(&row(e))).map(|e| e.name.clone()).collect()
}

fn refused(text: &str) -> (usize, String) {
    let error = text.parse::<Query>().unwrap_err();
    (error.column, error.message)
}

#[test]
fn the_examples_of_the_documentation() {
    let small = chosen("params < 10M and top1 >= 80 and collection ~ \"Noisy\"");
    assert_eq!(small, ["tf_efficientnet_b1_ns", "tf_efficientnet_b2_ns"]);
    assert_eq!(chosen("collection ~ noisy and not (params < 60M)").len(), 2);
    assert_eq!(chosen("name = TF_EFFICIENTNET_L2_NS or name == 'tf_efficientnet_b0_ns'").len(), 2);
}

#[test]
fn units_globs_and_other_languages_signs() {
    assert_eq!(chosen("file_size < 20MB"), chosen("file_size < 20000000"));
    assert_eq!(chosen("params < 10 M && top1 >= 80 %"), chosen("params < 10000000 and top1 >= 80"));
    assert_eq!(chosen("params > .1B || !params > 1k"), chosen("params > 100000000"));
    assert_eq!(chosen("name ~ tf_*_b?_ns").len(), 8);
    assert_eq!(chosen("name !~ '*[0-9]*' and name ~ lite").len(), 0);
    assert!(refused("name ~ '[z-a]'").1.contains("is not a pattern") && refused("name ~ '[z-a]'").0 == 7);
    assert!(refused("file_size < 20 XB").0 == 15 && refused("file_size < x").1.contains("`20MB`"));
}

#[test]
fn unknown_is_neither_true_nor_false() {
    let all = Registry::builtin().unwrap().models().len();
    let unknown = chosen("flops is null").len();
    assert!(unknown > 0);
    assert_eq!(chosen("flops < 1T or not flops < 1T").len(), all - unknown);
    assert_eq!(chosen("flops is not null").len(), all - unknown);
    assert_eq!(chosen("flops < 1 or name ~ lite0_pypi"), ["efficientnet_lite0_pypi"]);
}

#[test]
fn errors_point_at_the_place() {
    assert_eq!(refused("parms < 10M"), (0, "`parms` is not a field".into()));
    assert_eq!(refused("params < 10M adn top1 > 80").0, 13);
    assert_eq!(refused("params < ten").0, 9);
    assert_eq!(refused("(params < 10").0, 12);
    assert_eq!(refused("name ~ 'x").0, 7);
    assert_eq!(refused("").0, 0);
    assert!(refused("top1 ~ 8").1.contains("contains nothing"));
    let hint = "parms < 10M".parse::<Query>().unwrap_err().hint.unwrap();
    assert!(hint.contains("`params`"), "{hint}");
    let shown = "top1 > x".parse::<Query>().unwrap_err().to_string();
    assert!(shown.ends_with("\ntop1 > x\n       ^"), "{shown}");
}

#[test]
fn depth_is_bounded() {
    assert!(refused(&"(".repeat(9_000)).1.contains("64 levels"));
    assert!(refused(&"not ".repeat(2_000)).1.contains("64 levels"));
    assert!(refused(&"x".repeat(20_000)).1.contains("longer"));
}

#[test]
fn unknown_values_sort_last_either_way() {
    let registry = Registry::builtin().unwrap();
    for order in ["flops", "-flops"] {
        let mut entries: Vec<_> = registry.models().iter().collect();
        order.parse::<Sort>().unwrap().apply(&mut entries, Lookups::NONE);
        assert!(entries.last().unwrap().flops.is_none());
    }
    assert_eq!("top1,-pars".parse::<Sort>().unwrap_err().column, 6);
    assert!("top1,".parse::<Sort>().is_ok() && "".parse::<Sort>().is_err());
}

proptest! {
    #[test]
    fn anything_typed_is_a_query_or_an_error_inside_the_text(text in "[a-z0-9 ()<>=!~\"'%.M_-]{0,40}|\\PC{0,20}") {
        if let Err(error) = text.parse::<Query>() {
            prop_assert!(error.column <= text.chars().count());
        }
    }

    #[test]
    fn de_morgan_holds_with_unknowns(a in 0u32..100, b in 0u32..100) {
        let left = chosen(&format!("not (top1 < {a} and top5 < {b})"));
        let right = chosen(&format!("not top1 < {a} or not top5 < {b}"));
        prop_assert_eq!(left, right);
    }
}
