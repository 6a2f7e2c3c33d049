//! The statistics against scipy and statsmodels (`tests/golden/stats.json`, made by
//! `tests/oracle/stats.py`), against each other, and at their edges.

use super::*;
use super::{holm, interval as iv, paired::Paired, pmf, sequence};

fn golden() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../tests/golden/stats.json")).unwrap()
}

fn rows<'a>(golden: &'a serde_json::Value, name: &str) -> &'a [serde_json::Value] {
    let rows = golden[name].as_array().unwrap();
    assert!(rows.len() >= 5, "{name} has too few rows to mean anything");
    rows
}

fn u(row: &serde_json::Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("{key} in {row}"))
}

fn f(row: &serde_json::Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} in {row}"))
}

fn close(found: f64, expected: f64, relative: f64, what: &serde_json::Value) {
    let error = (found - expected).abs();
    assert!(error <= relative * expected.abs() + 1e-300, "{found} is not {expected}: {what}");
}

/// scipy's own tails differ from exact fractions by about 1e-12 at these sizes; ours must not differ more.
const TAIL: f64 = 1e-10;

#[test]
fn tails_are_scipys() {
    let golden = golden();
    for row in rows(&golden, "binomial") {
        let (k, n, p) = (u(row, "k"), u(row, "n"), f(row, "p"));
        close(pmf::binomial(k, n, p), f(row, "pmf"), TAIL, row);
        close(pmf::binomial_at_most(k as i64, n, p), f(row, "cdf"), TAIL, row);
        close(pmf::binomial_at_least(k as i64, n, p), f(row, "sf"), TAIL, row);
    }
    for row in rows(&golden, "hypergeometric") {
        let (k, total, good, n) = (u(row, "k"), u(row, "N"), u(row, "K"), u(row, "n"));
        close(pmf::hypergeometric(k, total, good, n), f(row, "pmf"), TAIL, row);
        close(pmf::hypergeometric_at_most(k as i64, total, good as i64, n), f(row, "cdf"), TAIL, row);
        close(pmf::hypergeometric_at_least(k as i64, total, good as i64, n), f(row, "sf"), TAIL, row);
    }
}

#[test]
fn clopper_pearson_is_statsmodels() {
    let golden = golden();
    for row in rows(&golden, "clopper_pearson") {
        let (low, high) = iv::clopper_pearson(u(row, "k"), u(row, "n"), f(row, "alpha"));
        assert!((low - f(row, "low")).abs() < 1e-10, "{low} {row}");
        assert!((high - f(row, "high")).abs() < 1e-10, "{high} {row}");
    }
}

#[test]
fn counts_not_rejected_are_those_of_a_plain_scan() {
    let golden = golden();
    for row in rows(&golden, "counts") {
        let level = ConfidenceLevel::new(f(row, "confidence")).unwrap();
        let (k, n, total) = (u(row, "k"), u(row, "n"), u(row, "N"));
        let expected = (u(row, "low"), u(row, "high"));
        assert_eq!(iv::hypergeometric_counts(k, n, total, level), expected, "{row}");
        let expected = (u(row, "sequence_low"), u(row, "sequence_high"));
        assert_eq!(sequence::counts(k, n, total, level), expected, "{row}");
    }
}

#[test]
fn what_a_run_can_tell_is_what_a_plain_scan_says() {
    let golden = golden();
    for row in rows(&golden, "power") {
        let claim = Claim::new(row["claim"].as_str().unwrap(), None).unwrap();
        let relation: Relation = serde_json::from_value(row["relation"].clone()).unwrap();
        let (k, n, total) = (u(row, "k"), u(row, "n"), u(row, "N"));
        let verdict = judge(interval(relation, k, n, total, ConfidenceLevel::P95), &claim);
        assert_eq!(verdict.name(), row["verdict"], "{row}");
        let drop = detectable_drop(relation, n, total, &claim, ConfidenceLevel::P95).map(Percent::value);
        match (drop, row["detectable_drop"].as_f64()) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-6, "{found} {row}"),
            (found, expected) => assert_eq!(found, expected, "{row}"),
        }
        let needed = images_to_decide(k, n, total, &claim, ConfidenceLevel::P95);
        assert_eq!(needed, row["images_to_decide"].as_u64(), "{row}");
        let p = holm::p_value(relation, k, n, total, &claim).unwrap();
        assert!((p - f(row, "p")).abs() < 1e-9, "{p} {row}");
        assert_eq!(verdict == Verdict::Contradicted, p <= ConfidenceLevel::P95.alpha(), "{row}");
    }
}

#[test]
fn the_sample_says_what_the_design_says() {
    let claim = Claim::new("75.1", None).unwrap();
    let found = interval(Relation::Given, 18, 20, 50_000, ConfidenceLevel::P95);
    assert_eq!((found.low.to_string(), found.high.to_string()), ("68.301729".into(), "98.765147".into()));
    assert_eq!(judge(found, &claim), Verdict::Consistent);
    let drop = detectable_drop(Relation::Given, 20, 50_000, &claim, ConfidenceLevel::P95).unwrap();
    assert_eq!(format!("{drop:.2}"), "36.62");
    assert_eq!(images_to_decide(18, 20, 50_000, &claim, ConfidenceLevel::P95), Some(39));
}

#[test]
fn holm_is_statsmodels() {
    let golden = golden();
    for row in rows(&golden, "holm") {
        let numbers = |key: &str| -> Vec<f64> { serde_json::from_value(row[key].clone()).unwrap() };
        for (found, expected) in holm::adjust(&numbers("p")).into_iter().zip(numbers("adjusted")) {
            assert!((found - expected).abs() < 1e-12, "{row}");
        }
    }
    assert!(holm::adjust(&[]).is_empty());
}

#[test]
fn paired_bounds_are_the_papers_formula() {
    let golden = golden();
    for row in rows(&golden, "paired") {
        let drop = Paired { lost: u(row, "lost"), won: u(row, "won"), n: u(row, "n") }.drop(0.05, false);
        assert!((drop.at_least.fraction() - f(row, "at_least")).abs() < 1e-8, "{drop:?} {row}");
        assert!((drop.at_most.fraction() - f(row, "at_most")).abs() < 1e-8, "{drop:?} {row}");
    }
    let known = Paired { lost: 7, won: 2, n: 50_000 }.drop(0.05, true);
    assert_eq!((known.at_least.to_string(), known.at_most.to_string()), ("0.01".into(), "0.01".into()));
}

#[test]
fn bounds_are_closed_and_exact() {
    let claim = Claim::new("78.66", None).unwrap();
    assert_eq!(claim.tolerance.to_string(), "0.105");
    // 78.555 is the edge; a population of 200,000 has it exactly, and binary floats do not.
    let at = |right| judge(interval(Relation::Census, right, 200_000, 200_000, ConfidenceLevel::P95), &claim);
    assert_eq!(at(157_110), Verdict::Reproduced);
    assert_eq!(at(157_109), Verdict::Contradicted);
    assert_eq!(at(157_530), Verdict::Reproduced);
    assert_eq!(at(157_531), Verdict::Contradicted);
    // Touching from outside is not wholly outside.
    let touching = Interval { low: Percent::ZERO, high: "78.555".parse().unwrap() };
    assert_eq!(judge(touching, &claim), Verdict::Consistent);
}

#[test]
fn a_census_notices_the_next_image_beyond_the_tolerance() {
    let claim = Claim::new("75.1", None).unwrap();
    let drop = detectable_drop(Relation::Census, 50_000, 50_000, &claim, ConfidenceLevel::P95);
    assert_eq!(drop.unwrap().to_string(), "0.152");
}

#[test]
fn a_sequence_ends_in_a_point_and_is_wider_than_a_fixed_interval() {
    assert_eq!(sequence::looks(130).collect::<Vec<_>>(), [64, 128, 130]);
    assert_eq!(sequence::looks(128).collect::<Vec<_>>(), [64, 128]);
    assert_eq!(sequence::looks(0).count(), 0);
    assert_eq!(sequence::counts(37_550, 50_000, 50_000, ConfidenceLevel::P95), (37_550, 37_550));
    let width = |(low, high): (u64, u64)| (high - low) as f64;
    let fixed = width(iv::hypergeometric_counts(3755, 5000, 50_000, ConfidenceLevel::P95));
    let anytime = width(sequence::counts(3755, 5000, 50_000, ConfidenceLevel::P95));
    assert!((1.5..2.5).contains(&(anytime / fixed)), "{}", anytime / fixed);
}

#[test]
fn percentages_read_back_what_they_print() {
    for text in ["0", "100", "78.66", "0.000001", "99.999999"] {
        let parsed: Percent = text.parse().unwrap();
        assert_eq!(parsed.to_string(), text);
        let json = serde_json::to_string(&parsed).unwrap();
        assert_eq!(serde_json::from_str::<Percent>(&json).unwrap(), parsed);
    }
    assert_eq!("78.66 %".parse::<Percent>().unwrap().to_string(), "78.66");
    for bad in ["", ".", "-1", "100.1", "1e2", "NaN", "78.6666666", "7 8", "1000"] {
        assert!(bad.parse::<Percent>().is_err(), "{bad}");
    }
    assert_eq!(Percent::of(0, 0), Percent::ZERO);
    assert_eq!(Percent::of(2, 3).to_string(), "66.666667");
}

#[test]
fn nothing_breaks_at_the_edges() {
    let claims = ["0", "0.01", "100", "99.99", "50"].map(|c| Claim::new(c, None).unwrap());
    for n in [0_u64, 1, 2, 63, 100] {
        for right in [0, n / 2, n] {
            for relation in [Relation::Census, Relation::Random, Relation::Given, Relation::Other] {
                let found = interval(relation, right, n, 100, ConfidenceLevel::P95);
                assert!(found.low <= found.high && found.low >= Percent::ZERO);
                assert!(found.high <= Percent::HUNDRED);
                for claim in &claims {
                    judge(found, claim);
                    detectable_drop(relation, n, 100, claim, ConfidenceLevel::P95);
                    images_to_decide(right, n, 100, claim, ConfidenceLevel::P95);
                    holm::p_value(relation, right, n, 100, claim);
                }
            }
        }
    }
}
