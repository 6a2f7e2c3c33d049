//! What a scan found: lines for a terminal, JSON, SARIF 2.1.0. In: paths with what was found in each. Called by
//! `zoo scan`.

use serde_json::{Value, json};

use super::sarif;
use crate::checkpoint::scan::{Answer, Found, ImportClass, Scan, Unscanned};

/// What became of one file.
#[derive(Debug)]
pub enum Outcome {
    /// It was scanned.
    Scanned(Scan),
    /// It is no checkpoint, and nothing that runs hides in it.
    Inert(String),
    /// It could not be scanned: why.
    Failed(String),
}

/// A file and what became of it.
#[derive(Debug)]
pub struct File {
    /// As it was named, or as it was found in a folder.
    pub path: String,
    /// What became of it.
    pub outcome: Outcome,
}

const fn answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Known => "nothing outside the known set",
        Answer::Unknown => "it names something unknown",
        Answer::Dangerous => "it names something dangerous",
        Answer::Malformed => "it is malformed",
    }
}

fn sentence(scan: &Scan) -> &'static str {
    let strange = scan.imports.iter().any(|f| f.verdict != ImportClass::Known);
    match scan.answer {
        Answer::Unknown if !strange => "it has parts that were not looked into",
        other => answer(other),
    }
}

/// The lines of one scan; those of known imports only where `all` are wanted.
pub fn lines(scan: &Scan, all: bool) -> Vec<String> {
    let imports = scan.imports.iter().filter(|f| all || f.verdict != ImportClass::Known).map(|found| {
        let member = found.member.as_ref().map(|m| format!("{m}:")).unwrap_or_default();
        format!("{:9} {}  at {member}{}: {}", found.verdict.name(), found.path(), found.offset, found.effect)
    });
    let unscanned = scan.unscanned.iter().map(|part| format!("not looked into: {part}"));
    let problems = scan.problems.iter().map(|problem| {
        format!("problem  {}: {}", problem.place.to_string().trim_start_matches(", "), problem.problem)
    });
    imports.chain(unscanned).chain(problems).collect()
}

/// `torch-zip: nothing outside the known set`.
pub fn summary(scan: &Scan) -> String {
    let format = scan.format.map_or("unknown format", |f| f.name());
    format!("{format}: {}", sentence(scan))
}

/// The form `zoo.scan/1`.
pub fn to_json(scan: &Scan) -> Value {
    let mut value = body(scan);
    if let Some(object) = value.as_object_mut() {
        object.insert("schema".into(), "zoo.scan/1".into());
    }
    value
}

fn body(scan: &Scan) -> Value {
    let imports = scan.imports.iter().map(|found| {
        json!({
            "module": found.module,
            "name": found.name,
            "offset": found.offset,
            "member": found.member,
            "verdict": found.verdict.name(),
            "effect": found.effect,
        })
    });
    let unscanned = scan
        .unscanned
        .iter()
        .map(|part| json!({ "member": part.member, "offset": part.offset, "reason": part.reason }));
    let problems = scan
        .problems
        .iter()
        .map(|p| json!({ "offset": p.place.offset, "member": p.place.member, "message": p.problem }));
    json!({
        "format": scan.format.map(|f| f.name()),
        "verdict": scan.answer.name(),
        "imports": imports.collect::<Vec<_>>(),
        "unscanned": unscanned.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    })
}

/// Several files: the form `zoo.scan.files/1`.
pub fn files_to_json(files: &[File]) -> Value {
    let files = files.iter().map(|file| {
        let mut value = match &file.outcome {
            Outcome::Scanned(scan) => body(scan),
            Outcome::Inert(_) | Outcome::Failed(_) => {
                json!({ "format": null, "verdict": null, "imports": [], "unscanned": [], "problems": [] })
            }
        };
        if let Some(object) = value.as_object_mut() {
            object.insert("file".into(), file.path.clone().into());
            let (error, note) = match &file.outcome {
                Outcome::Scanned(_) => (None, None),
                Outcome::Inert(what) => (None, Some(what.clone())),
                Outcome::Failed(why) => (Some(why.clone()), None),
            };
            object.insert("error".into(), error.into());
            object.insert("note".into(), note.into());
        }
        value
    });
    json!({ "schema": "zoo.scan.files/1", "files": files.collect::<Vec<_>>() })
}

/// Identifier, name, level, what it means.
const RULES: &[(&str, &str, &str, &str)] = &[
    (
        "ZS001",
        "DangerousImport",
        "error",
        "Loading the file would import or call something that is known to run code.",
    ),
    (
        "ZS002",
        "UnknownImport",
        "warning",
        "Loading the file would import or call something that zoo does not know.",
    ),
    ("ZS003", "NotLookedInto", "warning", "A part of the file was not looked into: code may be in it."),
    ("ZS004", "Malformed", "error", "The file is broken, or two readers would read two things in it."),
    ("ZS005", "NotScanned", "error", "The file could not be scanned."),
];

/// One SARIF document of all files.
pub fn sarif(files: &[File]) -> Value {
    let rules = RULES.iter().map(|(id, name, level, text)| {
        json!({
            "id": id,
            "name": name,
            "shortDescription": { "text": text },
            "fullDescription": { "text": text },
            "defaultConfiguration": { "level": level },
            "properties": { "tags": ["security"] },
        })
    });
    let mut results = Vec::new();
    for file in files {
        match &file.outcome {
            Outcome::Inert(_) => {}
            Outcome::Failed(why) => results.push(result(4, &file.path, None, None, why)),
            Outcome::Scanned(scan) => {
                results.extend(scan.imports.iter().filter_map(|found| import(&file.path, found)));
                results.extend(scan.unscanned.iter().map(|part| unscanned(&file.path, part)));
                results.extend(scan.problems.iter().map(|problem| {
                    let place = &problem.place;
                    result(3, &file.path, place.member.as_deref(), place.offset, &problem.problem)
                }));
            }
        }
    }
    sarif::document("zoo scan", env!("CARGO_PKG_VERSION"), rules.collect(), results)
}

fn import(path: &str, found: &Found) -> Option<Value> {
    let rule = match found.verdict {
        ImportClass::Dangerous => 0,
        ImportClass::Unknown => 1,
        ImportClass::Known => return None,
    };
    let text = format!("`{}`: {}", found.path(), found.effect);
    Some(result(rule, path, found.member.as_deref(), Some(found.offset), &text))
}

fn unscanned(path: &str, part: &Unscanned) -> Value {
    result(2, path, part.member.as_deref(), Some(part.offset), &format!("not looked into: {}", part.reason))
}

/// Code hosts show a result at a line, so a binary file's are at its first; where it is says the message.
fn result(rule: usize, path: &str, member: Option<&str>, offset: Option<u64>, text: &str) -> Value {
    let (id, _, level, _) = RULES.get(rule).copied().unwrap_or_default();
    let place = match (offset, member) {
        (Some(offset), Some(member)) => format!(" (byte {offset} of `{member}`)"),
        (Some(offset), None) => format!(" (byte {offset})"),
        (None, Some(member)) => format!(" (`{member}`)"),
        (None, None) => String::new(),
    };
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": sarif::uri(path) },
            "region": { "startLine": 1 },
        },
    });
    if let (Some(member), Some(location)) = (member, location.as_object_mut()) {
        location
            .insert("logicalLocations".into(), json!([{ "fullyQualifiedName": member, "kind": "member" }]));
    }
    let text = format!("{text}{place}");
    json!({
        "ruleId": id,
        "ruleIndex": rule,
        "level": level,
        "message": { "text": sarif::message(&text) },
        "locations": [location],
        // Several results of one file are several.
        "partialFingerprints": { "zooScan/v1": format!("{path}\n{id}\n{text}") },
    })
}
