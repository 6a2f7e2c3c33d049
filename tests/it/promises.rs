//! The promises of the verdict, kept by simulation: seeded models at, near and off the claim, sampled
//! as a run samples them, judged by the shipped code. `docs/statistics.md` has the table of the full run:
//!
//! ```text
//! cargo test --release --test it promises -- --ignored --nocapture
//! ```

use std::collections::HashMap;

use zoo::verify::stats::{
    Claim, ConfidenceLevel, Percent, Relation, Verdict, detectable_drop, holm, interval, judge,
    paired::Paired, sequence,
};

/// A splitmix64 stream.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How many of `n` drawn without replacement from `total` are among its `good`.
    fn draw(&mut self, total: u64, good: u64, n: u64) -> u64 {
        let (mut total, mut left) = (total, good);
        for _ in 0..n {
            // 128-bit multiply instead of a division: an unbiased enough index below `total`.
            let at = ((u128::from(self.next()) * u128::from(total)) >> 64) as u64;
            left -= u64::from(at < left);
            total -= 1;
        }
        good - left
    }

    /// How many of `n` independent trials of probability `p` succeed.
    fn trials(&mut self, n: u64, p: f64) -> u64 {
        (0..n).filter(|_| self.unit() < p).count() as u64
    }
}

/// One promise, its promised rate, and the worst rate measured over its scenarios.
struct Row {
    promise: &'static str,
    at_most: bool,
    promised: f64,
    measured: f64,
    scenario: String,
    scenarios: usize,
}

struct Bench {
    runs: u64,
    rows: Vec<Row>,
}

impl Bench {
    /// Runs one scenario: `hit` says whether the event of the promise happened.
    fn measure(
        &mut self,
        promise: &'static str,
        at_most: bool,
        promised: f64,
        scenario: String,
        mut hit: impl FnMut(&mut Random) -> bool,
    ) {
        let mut random = Random(self.rows.len() as u64 * 7919 + 17);
        let hits = (0..self.runs).filter(|_| hit(&mut random)).count();
        let measured = hits as f64 / self.runs as f64;
        // Four standard deviations of the simulation itself.
        let noise = 4.0 * (promised * (1.0 - promised) / self.runs as f64).sqrt();
        let kept = if at_most { measured <= promised + noise } else { measured >= promised - noise };
        assert!(kept, "{promise}: {measured} instead of {promised}, {scenario}");
        match self.rows.iter_mut().find(|r| r.promise == promise) {
            None => self.rows.push(Row { promise, at_most, promised, measured, scenario, scenarios: 1 }),
            Some(row) => {
                row.scenarios += 1;
                if (measured > row.measured) == at_most {
                    (row.measured, row.scenario) = (measured, scenario);
                }
            }
        }
    }

    #[allow(clippy::print_stdout, reason = "the table is what the full run is for")]
    fn print(&self) {
        println!("| promise | promised | measured, worst | scenarios | the worst one |");
        println!("| --- | --- | --- | --- | --- |");
        for r in &self.rows {
            let sign = if r.at_most { "≤" } else { "≥" };
            let Row { promise, promised, measured, scenarios, scenario, .. } = r;
            println!("| {promise} | {sign} {promised:.3} | {measured:.4} | {scenarios} | {scenario} |");
        }
        println!("\n{} runs a scenario.", self.runs);
    }
}

/// Counts of the population at the claim, near it, at the edges of the tolerance, and off it.
fn truths(claim: &Claim, total: u64) -> (Vec<u64>, Vec<u64>) {
    let count = |p: Percent| (p.fraction() * total as f64).round() as i64;
    let within = |k: i64| {
        let at = Percent::of(k as u64, total);
        at >= claim.low() && at <= claim.high()
    };
    let (low, high, middle) = (count(claim.low()), count(claim.high()), count(claim.value));
    let candidates = [low - 1, low, low + 1, (low + middle) / 2, middle, (middle + high) / 2, high - 1];
    let far = [100, 1000].map(|share| total as i64 / share);
    let more = [high, high + 1, low - far[0], high + far[0], low - far[1], high + far[1]];
    let all = candidates.into_iter().chain(more).filter(|&k| (0..=total as i64).contains(&k));
    let (inside, outside): (Vec<i64>, Vec<i64>) = all.partition(|&k| within(k));
    let unsigned = |list: Vec<i64>| list.into_iter().map(|k| k as u64).collect();
    (unsigned(inside), unsigned(outside))
}

/// Verdicts of a rule by the number of right images, each worked out once.
struct Rule<F>(F, HashMap<(u64, u64), Verdict>);

impl<F: Fn(u64, u64) -> Verdict> Rule<F> {
    fn new(rule: F) -> Self {
        Rule(rule, HashMap::new())
    }

    fn of(&mut self, right: u64, n: u64) -> Verdict {
        *self.1.entry((right, n)).or_insert_with(|| (self.0)(right, n))
    }
}

fn simulate(runs: u64, total: u64, sizes: &[u64]) -> Bench {
    let mut bench = Bench { runs, rows: Vec::new() };
    let alpha = ConfidenceLevel::P95.alpha();
    for text in ["75.1", "88", "99.9"] {
        let claim = Claim::new(text, None).unwrap();
        let (inside, outside) = truths(&claim, total);
        for &n in sizes {
            let mut rule = Rule::new(|k, n| {
                judge(interval(Relation::Random, k, n, total, ConfidenceLevel::P95), &claim)
            });
            for &good in &inside {
                let scenario = format!("claim {text}, {n} of {total}, {good} right");
                let hit = |r: &mut Random| rule.of(r.draw(total, good, n), n) == Verdict::Contradicted;
                bench.measure("random: contradicted although within t", true, alpha, scenario, hit);
            }
            for &good in &outside {
                let scenario = format!("claim {text}, {n} of {total}, {good} right");
                let hit = |r: &mut Random| rule.of(r.draw(total, good, n), n) == Verdict::Reproduced;
                bench.measure("random: reproduced although beyond t", true, alpha / 2.0, scenario, hit);
            }
            if let Some(drop) = detectable_drop(Relation::Random, n, total, &claim, ConfidenceLevel::P95) {
                let good = ((claim.value - drop).fraction() * total as f64).round() as u64;
                let scenario = format!("claim {text}, {n} of {total}, drop {drop}");
                let hit = |r: &mut Random| rule.of(r.draw(total, good, n), n) == Verdict::Contradicted;
                bench.measure("random: the detectable drop is contradicted", false, 0.9, scenario, hit);
            }
            given(&mut bench, &claim, text, n, total, &inside, &outside);
        }
    }
    bench
}

/// Images that someone else drew at random, from a population without end.
fn given(b: &mut Bench, claim: &Claim, text: &str, n: u64, total: u64, inside: &[u64], outside: &[u64]) {
    let mut rule =
        Rule::new(|k, n| judge(interval(Relation::Given, k, n, total, ConfidenceLevel::P95), claim));
    let p = |good: u64| good as f64 / total as f64;
    for &good in inside {
        let scenario = format!("claim {text}, {n} images, accuracy {}", p(good));
        let hit = |r: &mut Random| rule.of(r.trials(n, p(good)), n) == Verdict::Contradicted;
        b.measure("given: contradicted although within t", true, ConfidenceLevel::P95.alpha(), scenario, hit);
    }
    for &good in outside {
        let scenario = format!("claim {text}, {n} images, accuracy {}", p(good));
        let hit = |r: &mut Random| rule.of(r.trials(n, p(good)), n) == Verdict::Reproduced;
        b.measure(
            "given: reproduced although beyond t",
            true,
            ConfidenceLevel::P95.alpha() / 2.0,
            scenario,
            hit,
        );
    }
    if let Some(drop) = detectable_drop(Relation::Given, n, total, claim, ConfidenceLevel::P95) {
        let scenario = format!("claim {text}, {n} images, drop {drop}");
        let truth = (claim.value - drop).fraction();
        let hit = |r: &mut Random| rule.of(r.trials(n, truth), n) == Verdict::Contradicted;
        b.measure("given: the detectable drop is contradicted", false, 0.9, scenario, hit);
    }
}

/// `--until decided`, looked at every 64 images until it says something.
fn until(bench: &mut Bench, total: u64) {
    let alpha = ConfidenceLevel::P95.alpha();
    for text in ["75.1", "99.9"] {
        let claim = Claim::new(text, None).unwrap();
        let (inside, outside) = truths(&claim, total);
        let mut rule = Rule::new(|k, n| judge(sequence::interval(k, n, total, ConfidenceLevel::P95), &claim));
        let mut path = |r: &mut Random, good: u64| {
            let (mut seen, mut right) = (0, 0);
            for n in sequence::looks(total) {
                right += r.draw(total - seen, good - right, n - seen);
                seen = n;
                match rule.of(right, n) {
                    Verdict::Consistent => {}
                    decided => return decided,
                }
            }
            unreachable!("a census decides")
        };
        for &good in &inside {
            let scenario = format!("claim {text}, {good} of {total} right");
            let hit = |r: &mut Random| path(r, good) == Verdict::Contradicted;
            bench.measure("until decided: contradicted although within t", true, alpha, scenario, hit);
        }
        for &good in &outside {
            let scenario = format!("claim {text}, {good} of {total} right");
            let hit = |r: &mut Random| path(r, good) == Verdict::Reproduced;
            bench.measure("until decided: reproduced although beyond t", true, alpha, scenario, hit);
        }
    }
}

/// The gates: pairs of runs whose true drop is exactly the allowed one.
fn gates(bench: &mut Bench, sizes: &[u64]) {
    for &n in sizes {
        for churn in [0.0, 0.001, 0.01, 0.05, 0.3] {
            for allowed in [0.001, 0.005, 0.02, 0.1] {
                let (lost, won) = (allowed + churn / 2.0, churn / 2.0);
                let pair = |r: &mut Random| {
                    let lost_now = r.trials(n, lost);
                    Paired { lost: lost_now, won: r.trials(n - lost_now, won / (1.0 - lost)), n }
                };
                let limit = Percent::from_fraction(allowed);
                let scenario = format!("{n} images, {churn} differ by chance, drop {allowed}");
                let fails = |r: &mut Random| pair(r).drop(0.05, false).at_least > limit;
                bench.measure(
                    "--max-drop fails although the drop is allowed",
                    true,
                    0.05,
                    scenario.clone(),
                    fails,
                );
                let passes = |r: &mut Random| pair(r).drop(0.05, false).at_most < limit;
                bench.measure(
                    "--prove-no-drop passes although the drop is there",
                    true,
                    0.05,
                    scenario,
                    passes,
                );
            }
        }
    }
}

/// A board of 20 models, all at an edge of their claim: is even one contradicted?
fn boards(bench: &mut Bench, total: u64, n: u64) {
    let claim = Claim::new("75.1", None).unwrap();
    let (inside, _) = truths(&claim, total);
    let worst = [*inside.iter().min().unwrap(), *inside.iter().max().unwrap()];
    let mut p = HashMap::new();
    let hit = |r: &mut Random| {
        let board: Vec<f64> = (0..20)
            .map(|i| r.draw(total, worst[i % 2], n))
            .map(|k| {
                *p.entry(k).or_insert_with(|| holm::p_value(Relation::Random, k, n, total, &claim).unwrap())
            })
            .collect();
        holm::adjust(&board).into_iter().any(|p| p <= 0.05)
    };
    bench.measure(
        "a board of 20: any contradicted, by Holm, although within t",
        true,
        0.05,
        format!("{n} of {total}"),
        hit,
    );
}

#[test]
fn promises_hold_in_a_small_simulation() {
    let mut bench = simulate(1000, 2000, &[40, 1000]);
    until(&mut bench, 1000);
    gates(&mut bench, &[200]);
    boards(&mut bench, 2000, 300);
    assert!(bench.rows.len() >= 11 && bench.rows.iter().all(|r| r.scenarios >= 1));
}

#[test]
#[ignore = "minutes: the full table of docs/statistics.md"]
fn promises_in_full() {
    let mut bench = simulate(10_000, 50_000, &[20, 1000, 5000, 45_000]);
    until(&mut bench, 50_000);
    gates(&mut bench, &[200, 2000]);
    boards(&mut bench, 50_000, 2000);
    bench.print();
}
