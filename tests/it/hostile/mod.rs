//! Broken and hostile files, made by code: each is refused with exit code 3 and a message that says where and
//! why, within 200 MB of address space beyond the file itself, without an output and without running anything.
//! `tests/hostile/README.md` is the table of kinds.

pub(crate) mod build;
mod formats;
mod gadgets;
mod pickles;
mod zips;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use zoo::checkpoint::pickle::{Limits, Machine};
use zoo::checkpoint::{Checkpoint, scan};
use zoo::error::{Class, Classify};

use crate::support::{Home, ran};

/// A file that must be refused.
pub(crate) struct Case {
    /// What kind of attack or damage it is: a row of the table.
    kind: &'static str,
    bytes: Vec<u8>,
    /// What the message must say.
    says: &'static str,
    /// The extension, where it matters.
    extension: &'static str,
}

fn case(kind: &'static str, says: &'static str, bytes: Vec<u8>) -> Case {
    Case { kind, bytes, says, extension: "pth" }
}

/// All of them, made once.
fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        [pickles::cases(), gadgets::cases(), zips::cases(), formats::cases()].into_iter().flatten().collect()
    })
}

/// Every file, with a name that says its kind.
pub(crate) fn files() -> Vec<(String, &'static [u8])> {
    let mut numbers = BTreeMap::new();
    let numbered = |case: &'static Case| {
        let n = numbers.entry(case.kind).or_insert(0);
        *n += 1;
        let kind = case.kind.replace([' ', ','], "-");
        (format!("{kind}-{n}.{}", case.extension), case.bytes.as_slice())
    };
    cases().iter().map(numbered).collect()
}

#[test]
fn the_table_of_kinds_is_what_is_tested() {
    let mut counts = BTreeMap::new();
    for case in cases() {
        *counts.entry(case.kind).or_insert(0usize) += 1;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/README.md");
    let table = std::fs::read_to_string(path).unwrap();
    let rows: BTreeMap<&str, usize> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?, cells.next()?.trim_end_matches(" |").parse().ok()?))
        })
        .collect();
    let made: Vec<String> = counts.iter().map(|(kind, n)| format!("| {kind} | {n} |")).collect();
    assert_eq!(rows, counts, "the table should have:\n{}", made.join("\n"));
    let total: usize = counts.values().map(|n| n.min(&10)).sum();
    assert!(counts.len() >= 40 && total >= 200 && counts.values().all(|&n| n <= 10), "{total} files");
}

#[test]
fn each_is_refused_with_the_reason_and_the_place() {
    let mut wrong = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    for (i, case) in cases().iter().enumerate() {
        let path = folder.path().join(format!("x.{}", case.extension));
        std::fs::write(&path, &case.bytes).unwrap();
        let opened = Checkpoint::open(&path).and_then(|c| {
            // What only shows in the elements.
            c.tensors().iter().try_for_each(|t| c.stream(t, &mut |_| Ok(())))?;
            let output = zoo::checkpoint::write::Output::Stream(&mut std::io::sink());
            zoo::checkpoint::write::safetensors(&c, &path, output, &Default::default()).map(drop)
        });
        match opened {
            Ok(()) => wrong.push(format!("{i} {}: read", case.kind)),
            Err(e) => {
                let message = e.to_string();
                if e.class() != Class::BadInput || !message.contains(case.says) || message.len() > 8000 {
                    wrong.push(format!("{i} {}: expected `{}`: {message:.300}", case.kind, case.says));
                }
            }
        }
        // A scan ends too, and never calls such a file known to the end of it.
        if case.extension == "pth"
            && let Ok(found) = scan::scan(&path)
            && found.answer == scan::Answer::Known
            && case.kind.starts_with("gadget")
        {
            wrong.push(format!("{i} {}: the scan found nothing", case.kind));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[cfg(target_os = "linux")]
fn the_binary_refuses_each_within_200_mb_and_leaves_nothing() {
    const BEYOND: usize = 200 << 20;
    let mut wrong = Vec::new();
    for (name, bytes) in files() {
        let home = Home::new();
        home.write(&name, bytes);
        let limit = (BEYOND + bytes.len()).div_ceil(1024).to_string();
        let zoo = home.command(&["convert", &name, "-o", "out.safetensors"]);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &limit]);
        command.arg(zoo.get_program()).args(zoo.get_args()).env_clear();
        command.envs(zoo.get_envs().filter_map(|(k, v)| Some((k, v?))));
        command.current_dir(home.path("")).stdin(std::process::Stdio::null());
        let ran = ran(command.output().unwrap());
        let left: Vec<_> =
            std::fs::read_dir(home.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
        if ran.code != Some(3) || !ran.out.is_empty() || !ran.err.contains(&name) {
            wrong.push(format!("{name}: exit {:?}: {:.300}", ran.code, ran.err));
        }
        if left != [std::ffi::OsString::from(&name)] {
            wrong.push(format!("{name} left {left:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn work_is_bounded_by_what_the_file_holds() {
    for case in cases().iter().filter(|c| !c.bytes.starts_with(b"PK")) {
        let mut machine = Machine::new(&case.bytes, 0, Limits::default());
        let _ = machine.run();
        let (work, limits, bytes) = (machine.work(), Limits::default(), case.bytes.len());
        // Every opcode is a byte of the file and makes at most two values and three elements.
        assert!(
            work.opcodes as usize <= bytes && work.opcodes <= limits.opcodes + 1,
            "{}: {work:?}",
            case.kind
        );
        assert!(work.values <= (2 * bytes + 4).min(limits.values), "{}: {work:?}", case.kind);
        assert!(work.links <= (3 * bytes).min(limits.links), "{}: {work:?}", case.kind);
        assert!(work.decoded <= (3 * bytes).min(limits.decoded), "{}: {work:?}", case.kind);
    }
}
