//! A citation in BibTeX from what a page says of its paper. In: title and address. Out: one `@misc` entry,
//! every value escaped. Called by the page and card templates and by whoever cites a model.

use super::safe;

/// A BibTeX entry; `None` when neither title nor address is known. Authors and year are not on the pages
/// and are not guessed.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
