//! A verification's results for people: a table and what has to be said beside it, for terminals and Markdown.
//!
//! In: a [`Report`]. Out: text. Called by `zoo verify`, `zoo merge` and `zoo report`.

use std::fmt::Write as _;

use super::safe;
use super::table::{Column, Table};
use crate::registry::Relation;
use crate::verify::Report;
use crate::verify::diagnose::{Diagnosis, MAX_IMAGES};
use crate::verify::plan::RunPlan;
use crate::verify::report::{ClaimSource, Drawn, ModelResult, ModelTiming, ThreadTiming};
use crate::verify::stats::Verdict;

/// Unreadable images that are named one by one.
const MAX_NAMED: usize = 10;

/// The table of a report: a row a model.
pub fn table(report: &Report) -> Table {
    let mut table = Table {
        columns: vec![
            Column::text("model", Column::KEEP),
            Column::number("n", 9),
            Column::number("top-1", Column::KEEP),
            Column::number("top-5", 4),
            Column::text("interval", 6),
            Column::text("claim", 8),
            Column::text("verdict", Column::KEEP),
            Column::number("detectable drop", 2),
            Column::number("images/s", 1),
        ],
    };
    let board = report.results.iter().any(|r| r.holm_p.is_some());
    if board {
        table.columns.insert(7, Column::number("Holm p", 3));
    }
    for result in &report.results {
        let clock = report.timing.models.iter().find(|t| t.model == result.model);
        let mut row = vec![
            result.model.clone(),
            result.n.to_string(),
            format!("{:.2}", result.top1),
            format!("{:.2}", result.top5),
            interval(result),
            claim(result),
            result.verdict.name().to_owned(),
            result.detectable_drop.map_or_else(|| "-".into(), |d| format!("{d:.2}")),
            clock.and_then(|t| t.images_per_second).map_or_else(|| "-".into(), |s| format!("{s:.1}")),
        ];
        if board {
            row.insert(7, result.holm_p.map_or_else(|| "-".into(), |p| format!("{p:.3}")));
        }
        table.push(row);
    }
    table
}

fn interval(result: &ModelResult) -> String {
    let [low, high] = result.interval;
    format!("{low:.2} to {high:.2}")
}

fn claim(result: &ModelResult) -> String {
    let Some(claim) = &result.claim else { return "-".into() };
    let tolerance = result.tolerance.map_or(String::new(), |t| format!(" ± {t}"));
    format!("{:.*}{tolerance}", claim.digits as usize, claim.value.value())
}

/// What has to be said beside the table, a line each.
pub fn remarks(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(first) = report.results.first() {
        lines.push(images(report, first));
    }
    if let Some(shard) = report.host.shard {
        lines.push(format!("part {shard} of a run: `zoo merge` judges the whole"));
    }
    if !report.host.merged_isas.is_empty() {
        let isas = report.host.merged_isas.join(", ");
        lines.push(format!("parts of several instruction sets ({isas}): last bits may differ"));
    }
    let several = report.results.len() > 1;
    for result in &report.results {
        let of = if several { format!("{}: ", result.model) } else { String::new() };
        lines.extend(about(report, result).into_iter().map(|line| format!("{of}{line}")));
    }
    for diagnosis in &report.diagnoses {
        lines.extend(reason(diagnosis));
    }
    for failed in &report.failed {
        lines.push(format!("{}: not judged: {}", failed.model, failed.error));
    }
    lines
}

/// Why a number does not match, as far as that was found out.
fn reason(diagnosis: &Diagnosis) -> Vec<String> {
    let (model, n) = (&diagnosis.model, diagnosis.images);
    let Some(finding) = &diagnosis.finding else {
        let tried = diagnosis.tried.len();
        let said = if diagnosis.complete {
            format!("no usual mistake explains it ({n} images, {tried} other settings tried)")
        } else if tried > 0 {
            format!(
                "no usual mistake explains it so far ({n} images, {tried} other settings tried: about what the run itself \
                 computed); `--diagnose` tries each on up to {MAX_IMAGES} images"
            )
        } else {
            format!(
                "labels and weights show no usual mistake; `--diagnose` tries other settings too, each on up to \
                 {MAX_IMAGES} images"
            )
        };
        return vec![format!("{model}: {said}")];
    };
    vec![
        format!("{model}: {}: {}", finding.hypothesis, finding.says),
        format!("  evidence: {}", finding.evidence),
        format!("  what to do: {}", finding.fix),
    ]
}

/// What the images are, and how far the interval can be trusted.
fn images(report: &Report, result: &ModelResult) -> String {
    let dataset = &result.dataset;
    let percent = result.confidence * 100.0;
    let drawn = match &report.run.subset {
        Some(Drawn::First(n)) => format!(", the first {n} by seed {}", report.run.seed),
        Some(Drawn::Listed { .. }) => ", those of a list".into(),
        None => String::new(),
    };
    let of = format!("{} images of `{}`{drawn}", dataset.images, dataset.name);
    let until = if report.run.until.is_some() { "; the interval holds at every stop" } else { "" };
    match dataset.relation {
        Relation::Census => format!("{of}: all {} there are{until}", dataset.population),
        Relation::Random => {
            format!("{of}, drawn at random from {}; {percent} % intervals{until}", dataset.population)
        }
        Relation::Given => {
            format!("{of}; the {percent} % intervals are valid only if these images are a random sample")
        }
        Relation::Other => format!("{of}, which the claims are not about; {percent} % intervals"),
    }
}

/// Seconds of all threads below which it does not matter where they went.
const MIN_SECONDS_SAID: f64 = 10.0;

/// Where the threads' time went, which says what would make a long run faster.
fn where_time_went(report: &Report, result: &ModelResult, clock: &ModelTiming) -> Option<String> {
    let sum = |of: fn(&ThreadTiming) -> f64| clock.threads.iter().map(of).sum::<f64>();
    let (read, decode, resize) = (sum(|t| t.read), sum(|t| t.decode), sum(|t| t.resize));
    let (network, waiting) = (sum(|t| t.network), sum(|t| t.waiting));
    let all = read + decode + resize + network + waiting;
    if all < MIN_SECONDS_SAID {
        return None;
    }
    // On a card, threads beyond those that prepare images wait for its answers.
    let on_card = clock.threads.len().saturating_sub(report.host.threads);
    if result.is_of_card() && on_card > 0 {
        let share = |seconds: f64, threads: usize| 100.0 * seconds / (clock.seconds * threads.max(1) as f64);
        let (card, cpus) = (share(network, on_card), share(read + decode + resize, report.host.threads));
        let who = if card > cpus {
            "the processors wait for the card"
        } else {
            "the card waits for the processors"
        };
        return Some(format!(
            "the card computed {card:.0} % of the time, the processors prepared images {cpus:.0} %: {who}"
        ));
    }
    let percent = |seconds: f64| format!("{:.0} %", 100.0 * seconds / all);
    Some(format!(
        "time of the {} threads: reading {}, decoding {}, resizing {}, network {}, waiting {}",
        clock.threads.len(),
        percent(read),
        percent(decode),
        percent(resize),
        percent(network),
        percent(waiting)
    ))
}

/// What has to be said of one model.
fn about(report: &Report, result: &ModelResult) -> Vec<String> {
    let mut lines = Vec::new();
    let clock = report.timing.models.iter().find(|t| t.model == result.model);
    if let Some(since) = clock.and_then(|t| t.unchanged_since.as_ref()) {
        lines.push(format!("unchanged since {since}: nothing had to be computed; `--force` runs it again"));
    }
    lines.extend(result.weights.page_file.as_deref().map(|page_file| match page_file {
        "tensors on record" => {
            "the weights are the hub's file, with the tensors on record of the page's own".to_owned()
        }
        _ => "the page's own file was not seen: the weights are the hub's file, accepted for it".to_owned(),
    }));
    lines.extend(clock.and_then(|clock| where_time_went(report, result, clock)));
    if let (Some(published), Some(claim)) = (&result.published, &result.claim) {
        let page = format!("{:.*}", published.digits as usize, published.value.value());
        lines.push(match claim.source {
            ClaimSource::Correction => format!(
                "the page says {page}, which is {}; the claim judged is the correction (`zoo show {}`)",
                published.verdict.name(),
                result.model
            ),
            ClaimSource::Page | ClaimSource::Entry => {
                format!("published: {page}, {}", published.verdict.name())
            }
        });
    }
    match (result.verdict, result.images_to_decide, result.detectable_drop) {
        (Verdict::Consistent, Some(n), drop) => {
            let drop =
                drop.map_or(String::new(), |d| format!("; a drop of {d} points would have been noticed"));
            lines.push(format!("{n} random images would decide{drop}"));
        }
        (Verdict::Consistent | Verdict::Contradicted | Verdict::Reproduced, _, Some(drop)) => {
            lines.push(format!("a drop of {drop} points would have been noticed"));
        }
        _ => {}
    }
    for gate in &result.gates {
        let passed = if gate.passed { "passed" } else { "FAILED" };
        lines.push(format!("gate {} {passed}: {}, found {}", gate.gate, gate.asked, gate.found));
    }
    if !result.skipped.is_empty() {
        lines.push(format!("{} images could not be read:", result.skipped.len()));
        let named = result.skipped.iter().take(MAX_NAMED).map(|s| format!("  {}: {}", s.id, s.reason));
        lines.extend(named);
        if result.skipped.len() > MAX_NAMED {
            lines.push(format!("  and {} more, in the report", result.skipped.len() - MAX_NAMED));
        }
    }
    lines
}

/// The report for a terminal of so many columns.
pub fn terminal(report: &Report, width: Option<usize>, color: bool) -> String {
    let mut table = table(report);
    if let Some(width) = width {
        table.fit(width);
    }
    let mut out = if report.results.is_empty() { String::new() } else { table.terminal(color) };
    for line in remarks(report) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", safe::terminal(&line));
    }
    out
}

/// The report as Markdown, for a step summary.
pub fn markdown(report: &Report) -> String {
    let mut out =
        format!("### zoo verify: {}\n\n{}", safe::markdown(&report.run.dataset), table(report).markdown());
    for line in remarks(report) {
        let _ = write!(out, "\n- {}", safe::markdown(line.trim_start()));
    }
    out.push('\n');
    out
}

/// A plan for a terminal.
pub fn plan(plan: &RunPlan, width: Option<usize>, color: bool) -> String {
    let mut table = Table {
        columns: vec![
            Column::text("model", Column::KEEP),
            Column::text("claim", 8),
            Column::text("interval at the claim", 6),
            Column::number("detectable drop", Column::KEEP),
            Column::number("images to decide", Column::KEEP),
        ],
    };
    let dash = || "-".to_owned();
    for model in &plan.models {
        let claim = model.claim.as_ref().map(|c| format!("{:.*}", c.digits as usize, c.value.value()));
        let tolerance = model.tolerance.map_or(String::new(), |t| format!(" ± {t}"));
        table.push([
            model.model.clone(),
            claim.map_or_else(dash, |c| c + &tolerance),
            model.interval_at_claim.map_or_else(dash, |[low, high]| format!("{low:.2} to {high:.2}")),
            model.detectable_drop.map_or_else(dash, |d| format!("{d:.2}")),
            model.images_to_decide.map_or_else(dash, |n| n.to_string()),
        ]);
    }
    if let Some(width) = width {
        table.fit(width);
    }
    let images = &plan.dataset;
    let of = format!(
        "{} images of `{}`, {} of {}",
        images.images,
        images.name,
        images.relation.name(),
        images.population
    );
    format!("{}{}\n", table.terminal(color), safe::terminal(&of))
}

/// Every image's guesses as CSV: `image,labels,pred1..pred5,prob1..prob5`; several labels with spaces between.
pub fn predictions(result: &ModelResult) -> String {
    let numbered = |name: &str| (1..=5).map(|i| format!("{name}{i}")).collect::<Vec<_>>().join(",");
    let mut out = format!("image,labels,{},{}\n", numbered("pred"), numbered("prob"));
    let texts = |n: &mut dyn Iterator<Item = String>| {
        let mut cells: Vec<_> = n.collect();
        cells.resize(5, String::new());
        cells.join(",")
    };
    for row in &result.per_image {
        let labels: Vec<_> = row.labels.iter().map(usize::to_string).collect();
        let classes = texts(&mut row.classes.iter().map(usize::to_string));
        let probs = texts(&mut row.probs.iter().map(f64::to_string));
        let _ = writeln!(out, "{},{},{classes},{probs}", safe::csv(&row.id), labels.join(" "));
    }
    out
}
