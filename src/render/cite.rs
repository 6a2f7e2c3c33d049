//! A model's papers as citations: BibTeX as its page has it, CSL-JSON, or text.
//!
//! In: [`Reference`]s, or a title and an address where a page has no BibTeX. Out: what a citation manager reads, or a
//! person. Called by `cite`, and by the page and card templates.

use serde_json::{Map, Value, json};

use super::safe;
use crate::registry::bibtex;
use crate::registry::citation::{Name, Reference};

/// A BibTeX entry of what little a page may say; `None` when neither title nor address is known. Authors and year are
/// not guessed.
pub fn bibtex(key: &str, title: Option<&str>, url: Option<&str>) -> Option<String> {
    if title.is_none() && url.is_none() {
        return None;
    }
    let key: String = key.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    let mut entry = format!("@misc{{{}", if key.is_empty() { "model" } else { &key });
    if let Some(title) = title {
        // Doubled braces keep the capitals of names such as ImageNet.
        entry.push_str(&format!(",\n  title = {{{}}}", safe::bibtex(title)));
    }
    if let Some(arxiv) = url.and_then(arxiv) {
        entry.push_str(&format!(",\n  eprint = {{{arxiv}}},\n  archivePrefix = {{arXiv}}"));
    }
    if let Some(url) = url.and_then(safe::link) {
        entry.push_str(&format!(",\n  url = {{{url}}}"));
    }
    entry.push_str("\n}");
    Some(entry)
}

/// The number of an arXiv paper, such as `1911.04252`, in its address.
fn arxiv(url: &str) -> Option<&str> {
    let rest = url.split_once("arxiv.org/abs/").or(url.split_once("arxiv.org/pdf/"))?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let number = rest.get(..end)?.trim_end_matches('.');
    let (month, paper) = number.split_once('.')?;
    (month.len() == 4 && (4..=5).contains(&paper.len())).then_some(number)
}

/// References of several models with each paper once and no key twice: of two different papers under one key the
/// second gets a letter.
pub fn distinct(references: Vec<Reference>) -> Vec<Reference> {
    let mut kept: Vec<Reference> = Vec::new();
    for mut reference in references {
        let same = |other: &Reference| other.entry.fields == reference.entry.fields;
        if kept.iter().any(same) {
            continue;
        }
        let key = reference.entry.key.clone();
        let is_taken = |key: &str| kept.iter().any(|other| other.entry.key == key);
        if is_taken(&key) {
            let suffixed = |n: u32| match char::from_digit(9 + n, 36) {
                Some(letter) if n <= 26 => format!("{key}{letter}"),
                _ => format!("{key}-{n}"),
            };
            let free = (2_u32..).map(suffixed).find(|candidate| !is_taken(candidate)).unwrap_or_default();
            reference.entry.text = reference.entry.text_under(&free);
            reference.entry.key = free;
        }
        kept.push(reference);
    }
    kept
}

/// Whether a text is BibTeX with which a citation manager is content.
pub fn is_bibtex(text: &str) -> bool {
    bibtex::entries(text).is_ok()
}

/// An item of CSL-JSON (Citation Style Language 1.0.2).
pub fn csl_json(reference: &Reference) -> Value {
    let entry = &reference.entry;
    let plain = |name: &str| entry.field(name).map(|value| crate::registry::citation::plain(&value));
    let container = plain("booktitle").or_else(|| plain("journal"));
    let kind = match entry.kind.as_str() {
        "article" if container.is_some() => "article-journal",
        "inproceedings" | "conference" => "paper-conference",
        "book" | "inbook" => "book",
        "incollection" => "chapter",
        "phdthesis" | "mastersthesis" => "thesis",
        "techreport" => "report",
        "article" | "misc" | "unpublished" if reference.arxiv.is_some() => "article",
        _ => "document",
    };
    let mut item = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            item.insert(key.to_owned(), value);
        }
    };
    let text = |value: Option<String>| value.map(Value::String);
    set("id", Some(json!(entry.key)));
    set("type", Some(json!(kind)));
    set("title", text(reference.title.clone()));
    set("author", (!reference.authors.is_empty()).then(|| json!(reference.authors)));
    set(
        "issued",
        reference.year.map(|year| match reference.month {
            Some(month) => json!({"date-parts": [[year, month]]}),
            None => json!({"date-parts": [[year]]}),
        }),
    );
    set("container-title", text(container));
    set("volume", text(plain("volume")));
    set("issue", text(plain("number")));
    set("page", text(plain("pages")));
    set(
        "publisher",
        text(plain("publisher").or_else(|| reference.arxiv.as_ref().map(|_| "arXiv".to_owned()))),
    );
    set("number", reference.arxiv.as_ref().map(|number| json!(format!("arXiv:{number}"))));
    set("DOI", text(reference.doi.clone()));
    set("URL", text(reference.url.clone()));
    Value::Object(item)
}

/// A line for people: authors, title, where, when, address.
pub fn text(reference: &Reference) -> String {
    let mut parts = Vec::new();
    let names: Vec<String> = reference.authors.iter().map(shown).collect();
    match names.as_slice() {
        [] => {}
        [one] => parts.push(one.clone()),
        [first, second] => parts.push(format!("{first} and {second}")),
        [all @ .., last] => parts.push(format!("{}, and {last}", all.join(", "))),
    }
    parts.extend(reference.title.clone());
    let plain =
        |name: &str| reference.entry.field(name).map(|value| crate::registry::citation::plain(&value));
    let place = plain("booktitle").or_else(|| plain("journal"));
    let place = match (&reference.arxiv, place) {
        // dblp calls arXiv a journal.
        (Some(number), Some(journal)) if journal == "CoRR" => Some(format!("arXiv:{number}")),
        (Some(number), None) => Some(format!("arXiv:{number}")),
        (_, place) => place,
    };
    let when = reference.year.map(|year| year.to_string());
    parts.extend(place.into_iter().chain(when).reduce(|place, year| format!("{place}, {year}")));
    parts.extend(reference.url.clone());
    parts.iter().map(|part| part.trim_end_matches('.')).collect::<Vec<_>>().join(". ")
}

fn shown(name: &Name) -> String {
    let parts = [&name.given, &name.particle, &name.family, &name.suffix];
    parts.iter().filter(|part| !part.is_empty()).map(|part| part.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::citation::references;

    #[test]
    fn a_paper_is_cited_with_what_is_known() {
        let entry = bibtex("a b{}", Some("100% {x}"), Some("https://arxiv.org/abs/1911.04252v2")).unwrap();
        assert_eq!(
            entry,
            "@misc{ab,\n  title = {{100\\% \\{x\\}}},\n  eprint = {1911.04252},\n  archivePrefix = {arXiv},\n  \
             url = {https://arxiv.org/abs/1911.04252v2}\n}"
        );
        assert_eq!(bibtex("k", None, None), None);
        assert_eq!(bibtex("k", None, Some("javascript:x")).unwrap(), "@misc{k\n}");
    }

    const TWO: &str = "@misc{xie2020, title={Self-training}, author={Qizhe Xie and Le, Quoc V.}, year={2020},\n \
        eprint={1911.04252}, archivePrefix={arXiv}}\n\
        @inproceedings{gao, title = {Res2Net}, author = {Gao, S.}, booktitle = {CVPR}, pages = {1--9}, year = 2021, \
        month = feb, doi = {10.1109/x}}";

    #[test]
    fn every_form_says_the_same() {
        let found = references(TWO).unwrap();
        assert_eq!(
            csl_json(&found[0]),
            json!({
                "id": "xie2020", "type": "article", "title": "Self-training",
                "author": [{"family": "Xie", "given": "Qizhe"}, {"family": "Le", "given": "Quoc V."}],
                "issued": {"date-parts": [[2020]]}, "publisher": "arXiv", "number": "arXiv:1911.04252",
                "URL": "https://arxiv.org/abs/1911.04252",
            })
        );
        let second = csl_json(&found[1]);
        assert_eq!((&second["type"], &second["page"]), (&json!("paper-conference"), &json!("1–9")));
        assert_eq!(second["issued"], json!({"date-parts": [[2021, 2]]}));
        assert_eq!(
            text(&found[0]),
            "Qizhe Xie and Quoc V. Le. Self-training. arXiv:1911.04252, 2020. https://arxiv.org/abs/1911.04252"
        );
        assert_eq!(text(&found[1]), "S. Gao. Res2Net. CVPR, 2021. https://doi.org/10.1109/x");
    }

    #[test]
    fn no_key_is_there_twice() {
        let all =
            ["@misc{k, title={a}}", "@misc{k, title={b}}", "@misc{k, title={a}}", "@misc{kb, title={c}}"];
        let references: Vec<_> = all.iter().flat_map(|text| references(text).unwrap()).collect();
        let kept = distinct(references);
        let keys: Vec<_> = kept.iter().map(|r| r.entry.key.as_str()).collect();
        assert_eq!(keys, ["k", "kb", "kbb"]);
        assert!(kept[1].entry.text.starts_with("@misc{kb, title={b}"), "{}", kept[1].entry.text);
    }
}
