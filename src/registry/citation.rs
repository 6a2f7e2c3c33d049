//! What a model is cited by: the BibTeX of its page, read into names, dates and identifiers.
//!
//! In: a model's record with what its collection adds, or a documentation page's prose. Out: BibTeX texts, and
//! [`Reference`]s. Called by `cite`, `page`, `card`, `lint` and `import`.

use super::bibtex::{self, BibEntry, Mistake};
use super::format::{Index, markdown};
use super::tree::{Node, View, same_field};

/// Keys under which BibTeX is kept, of a model, its paper or its collection.
const KEYS: [&str; 3] = ["Citation", "BibTeX", "Cite"];

/// The key of what a page says of its models in prose.
pub const DESCRIPTION: &str = "Description";

/// The BibTeX of a model (of its full record), with its place.
pub fn texts<'a>(model: &View<'a>) -> Vec<View<'a>> {
    let parts = [Some(model.clone()), model.field("Paper"), model.field("Metadata")];
    let is_citation = |key: &str| KEYS.iter().any(|known| same_field(key, known));
    let cited = parts.iter().flatten().flat_map(View::entries).filter(|(key, _)| is_citation(key.text()));
    let items = cited.flat_map(|(_, value)| value.one_or_many());
    items.filter(|value| value.text().is_some_and(|text| text.contains('@'))).collect()
}

/// The same as one text that no terminal acts on; nothing where there is none.
pub fn text(model: &View<'_>) -> Option<String> {
    let all: Vec<String> = texts(model).iter().filter_map(View::text).map(clean).collect();
    (!all.is_empty()).then(|| all.join("\n\n"))
}

/// Without what is neither text nor a line end.
fn clean(text: &str) -> String {
    let kept = |c: char| if c == '\n' || c == '\t' || !c.is_control() { c } else { ' ' };
    text.trim_end().chars().map(kept).collect()
}

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Name {
    /// The family name; all of the name where it has no parts.
    pub family: String,
    /// Given names.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub given: String,
    /// Such as `van der`.
    #[serde(rename = "non-dropping-particle", skip_serializing_if = "String::is_empty")]
    pub particle: String,
    /// Such as `Jr`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub suffix: String,
}

/// A paper, as its BibTeX says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The entry it was read from.
    pub entry: BibEntry,
    /// Its authors, or its editors where it has no authors.
    pub authors: Vec<Name>,
    /// Its title.
    pub title: Option<String>,
    /// The year.
    pub year: Option<i32>,
    /// The month, from 1.
    pub month: Option<u32>,
    /// Its number on arXiv, such as `1911.04252`.
    pub arxiv: Option<String>,
    /// Its DOI.
    pub doi: Option<String>,
    /// Where it is: its address, its DOI's, or arXiv's.
    pub url: Option<String>,
}

/// The papers of a text.
///
/// # Errors
/// The first mistake in the BibTeX.
pub fn references(text: &str) -> Result<Vec<Reference>, Mistake> {
    Ok(bibtex::entries(text)?.into_iter().map(Reference::of).collect())
}

impl Reference {
    /// What an entry says.
    pub fn of(entry: BibEntry) -> Self {
        let plain = |name: &str| entry.field(name).map(|value| plain(&value));
        let people = entry.field("author").or_else(|| entry.field("editor")).unwrap_or_default();
        let arxiv = arxiv(&entry);
        let doi = plain("doi").map(|doi| {
            let prefixes = ["https://doi.org/", "http://doi.org/", "http://dx.doi.org/", "doi:"];
            prefixes.iter().find_map(|p| doi.strip_prefix(p)).unwrap_or(&doi).to_owned()
        });
        let url = plain("url")
            .or_else(|| doi.as_ref().map(|doi| format!("https://doi.org/{doi}")))
            .or_else(|| arxiv.as_ref().map(|number| format!("https://arxiv.org/abs/{number}")));
        Reference {
            authors: names(&people),
            title: plain("title"),
            year: plain("year").and_then(|year| year.parse().ok()),
            month: plain("month").and_then(|month| month.parse().ok()).filter(|m| (1..=12).contains(m)),
            arxiv,
            doi,
            url,
            entry,
        }
    }

    /// What is wrong between the number on arXiv and the year: a paper is numbered by the month in which it came, and
    /// appears elsewhere then or a few years later.
    pub fn disagreement(&self) -> Option<String> {
        let number = self.arxiv.as_deref()?;
        let year = self.year?;
        let digits: i32 = number.get(..2)?.parse().ok()?;
        let month: u32 = number.get(2..4)?.parse().ok()?;
        if !(1..=12).contains(&month) {
            return Some(format!("`{number}` is no arXiv number: there is no month {month}"));
        }
        let arrived = 2000 + digits;
        let late = year - arrived;
        (!(0..=MAX_YEARS_TO_PRINT).contains(&late))
            .then(|| format!("arXiv has `{number}` since {arrived}, and the year is {year}"))
    }
}

/// Years from a paper's first version to its appearance that are taken for what they are.
const MAX_YEARS_TO_PRINT: i32 = 6;

/// The number on arXiv: the `eprint` field, unless another archive is named, or the address.
fn arxiv(entry: &BibEntry) -> Option<String> {
    let archive = entry.field("archiveprefix").or_else(|| entry.field("eprinttype"));
    let is_arxiv = archive.is_none_or(|archive| archive.eq_ignore_ascii_case("arxiv"));
    let eprint = entry.field("eprint").filter(|_| is_arxiv);
    let number = |text: &str| -> Option<String> {
        let text = text.trim().trim_start_matches("arXiv:");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (month, paper) = text.get(..end)?.trim_end_matches('.').split_once('.')?;
        let known = month.len() == 4 && (4..=5).contains(&paper.len()) && !paper.contains('.');
        known.then(|| format!("{month}.{paper}"))
    };
    eprint.and_then(|text| number(&text)).or_else(|| {
        let url = entry.field("url")?;
        let rest = url.split_once("arxiv.org/abs/").or(url.split_once("arxiv.org/pdf/"))?.1;
        number(rest)
    })
}

/// The people of an author field: joined by ` and ` outside braces, each `First von Last`, `von Last, First` or
/// `von Last, Jr, First`.
pub fn names(people: &str) -> Vec<Name> {
    split(people, " and ").iter().map(|one| name(one.trim())).filter(|n| !n.family.is_empty()).collect()
}

/// Cut at a separator that stands outside braces.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut start, mut at) = (Vec::new(), 0usize, 0, 0);
    while let Some(rest) = text.get(at..) {
        let Some(c) = rest.chars().next() else { break };
        if depth == 0 && rest.starts_with(separator) {
            parts.extend(text.get(start..at));
            at += separator.len();
            start = at;
            continue;
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += c.len_utf8();
    }
    parts.extend(text.get(start..));
    parts
}

fn name(text: &str) -> Name {
    let words = |text: &str| -> Vec<String> {
        let parts = split(text, " ").into_iter().filter(|word| !word.trim().is_empty());
        parts.map(|word| word.trim().to_owned()).collect()
    };
    // Lower case outside braces makes a particle.
    let is_particle = |word: &String| word.chars().next().is_some_and(char::is_lowercase);
    let joined = |words: &[String]| words.iter().map(|w| plain(w)).collect::<Vec<_>>().join(" ");
    let commas = split(text, ",");
    let (last, given, suffix) = match commas.as_slice() {
        [last, suffix, given, ..] => (words(last), words(given), plain(suffix.trim())),
        [last, given] => (words(last), words(given), String::new()),
        _ => {
            let all = words(text);
            let particle = all.iter().position(is_particle).filter(|&at| at + 1 < all.len());
            let at = particle.unwrap_or(all.len().saturating_sub(1));
            let (given, last) = all.split_at(at);
            (last.to_vec(), given.to_vec(), String::new())
        }
    };
    let particles =
        last.iter().take_while(|word| is_particle(word)).count().min(last.len().saturating_sub(1));
    let (particle, family) = last.split_at(particles);
    Name { family: joined(family), given: joined(&given), particle: joined(particle), suffix }
}

/// Accents of TeX, and the combining mark that each is.
const ACCENTS: [(char, char); 12] = [
    ('"', '\u{308}'),
    ('\'', '\u{301}'),
    ('`', '\u{300}'),
    ('^', '\u{302}'),
    ('~', '\u{303}'),
    ('=', '\u{304}'),
    ('.', '\u{307}'),
    ('u', '\u{306}'),
    ('v', '\u{30c}'),
    ('H', '\u{30b}'),
    ('c', '\u{327}'),
    ('k', '\u{328}'),
];

/// Letters and signs of TeX.
const SIGNS: [(&str, &str); 16] = [
    ("ss", "ß"),
    ("o", "ø"),
    ("O", "Ø"),
    ("l", "ł"),
    ("L", "Ł"),
    ("ae", "æ"),
    ("AE", "Æ"),
    ("aa", "å"),
    ("AA", "Å"),
    ("i", "i"),
    ("j", "j"),
    ("textendash", "–"),
    ("textemdash", "—"),
    ("textbackslash", "\\"),
    ("textasciitilde", "~"),
    ("textquoteright", "’"),
];

/// Letters with a mark as one sign, for those that names have: base, mark, both.
const COMPOSED: &str = "äöüÄÖÜëïáéíóúýÁÉÍÓÚàèìòùâêîôûãñõčćšśžźżřěňďťçÇőűąęāēīūȧėğşţńŽŠČŚ";

/// A value as a reader sees it: braces gone, TeX's letters and accents in their own signs.
pub fn plain(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '{' | '}' => {}
            '~' => out.push(' '),
            '-' if rest.starts_with('-') => {
                rest = rest.trim_start_matches('-');
                out.push('–');
            }
            '\\' => rest = command(rest, &mut out),
            _ => out.push(c),
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What follows a backslash; returns what is left after it.
fn command<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let Some(sign) = rest.chars().next() else { return rest };
    let after = |text: &'a str, by: usize| text.get(by..).unwrap_or_default();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let word = rest.get(..letters).unwrap_or_default();
    let mark = ACCENTS
        .iter()
        .find(|(accent, _)| *accent == sign && (!sign.is_ascii_alphabetic() || word.len() == 1));
    if let Some((_, mark)) = mark {
        let mut tail = after(rest, sign.len_utf8()).trim_start_matches([' ', '{']);
        // A dotless i under an accent.
        tail = tail
            .strip_prefix("\\i")
            .map_or(tail, |t| if t.starts_with(char::is_alphabetic) { tail } else { t });
        let base =
            if tail.len() < rest.len() && rest.contains("\\i") && !tail.starts_with(char::is_alphabetic) {
                Some('i')
            } else {
                tail.chars().next()
            };
        let Some(base) = base else { return tail };
        let tail = if tail.starts_with(base) { after(tail, base.len_utf8()) } else { tail };
        out.push_str(&composed(base, *mark));
        return tail.strip_prefix('}').unwrap_or(tail);
    }
    if letters == 0 {
        // `\&`, `\%`, `\_` and their like are the sign itself.
        out.push(sign);
        return after(rest, sign.len_utf8());
    }
    if let Some((_, letter)) = SIGNS.iter().find(|(name, _)| *name == word) {
        out.push_str(letter);
    }
    // A space ends a command's name and is no space of the text.
    after(rest, letters).strip_prefix(' ').unwrap_or_else(|| after(rest, letters))
}

/// A letter with a mark: one sign where there is one.
fn composed(base: char, mark: char) -> String {
    let decomposed = [base, mark];
    let one = COMPOSED.chars().find(|c| parts(*c) == Some(decomposed));
    one.map_or_else(|| decomposed.iter().collect(), String::from)
}

/// The letter and the mark of some composed signs.
fn parts(sign: char) -> Option<[char; 2]> {
    const TABLE: [(&str, char); 12] = [
        ("äaöoüuÄAÖOÜUëeïi", '\u{308}'),
        ("áaéeíióoúuýyÁAÉEÍIÓOÚUćcśsźzńnŚS", '\u{301}'),
        ("àaèeìiòoùu", '\u{300}'),
        ("âaêeîiôoûu", '\u{302}'),
        ("ãañnõo", '\u{303}'),
        ("āaēeīiūu", '\u{304}'),
        ("żzȧaėe", '\u{307}'),
        ("ğg", '\u{306}'),
        ("čcšsžzřrěeňnďdťtŽZŠSČC", '\u{30c}'),
        ("őoűu", '\u{30b}'),
        ("çcÇCşsţt", '\u{327}'),
        ("ąaęe", '\u{328}'),
    ];
    TABLE.iter().find_map(|(pairs, mark)| {
        let signs: Vec<char> = pairs.chars().collect();
        let pair = signs.chunks_exact(2).find(|pair| pair.first() == Some(&sign))?;
        Some([*pair.get(1)?, *mark])
    })
}

/// Adds to an index what its documentation page says beside the metadata: the BibTeX of its fenced blocks as `Citation`,
/// and the prose between the title and the first section as `Description`; of the page's collections, or of its models
/// where it has none. What the metadata says already stays. Says what could not be read of the BibTeX, and its line.
pub fn add_prose(index: &mut Index, page: &str) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for block in markdown::fenced(page).0 {
        if block.is_bibtex() {
            let (entries, wrong) = bibtex::readable(&block.body);
            texts.extend(entries.into_iter().map(|entry| entry.text));
            let line = |mistake: Mistake| Mistake { line: block.line + mistake.line - 1, ..mistake };
            mistakes.extend(wrong.into_iter().map(line));
        }
    }
    let description = markdown::introduction(page);
    let of_collections = !index.collections.is_empty();
    let records = if of_collections { &mut index.collections } else { &mut index.models };
    for record in records {
        let has = |key: &str, node: &Node| {
            View::root(node).entries().any(|(known, _)| same_field(known.text(), key))
        };
        let cited = KEYS.iter().any(|key| has(key, &record.own));
        let described = has(DESCRIPTION, &record.own);
        let Some(mapping) = record.own.mapping_mut() else { continue };
        if let Some(description) = description.as_ref().filter(|_| of_collections && !described) {
            mapping.set(DESCRIPTION, Node::string(description));
        }
        if !texts.is_empty() && !cited {
            mapping.set("Citation", Node::string(texts.join("\n\n")));
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_bibtex_does() {
        let one = |text: &str| names(text).remove(0);
        let [simple, comma] = [one("Quoc V. Le"), one("Le, Quoc V.")];
        assert_eq!((simple.family.as_str(), simple.given.as_str()), ("Le", "Quoc V."));
        assert_eq!(simple, comma);
        let von = one("Laurens van der Maaten");
        assert_eq!([von.particle, von.family, von.given], ["van der", "Maaten", "Laurens"]);
        let junior = one("von Last, Jr, First");
        assert_eq!([junior.particle, junior.family, junior.suffix], ["von", "Last", "Jr"]);
        assert_eq!(one("{Google Research}").family, "Google Research");
        let people = names(
            "Kaiming He and\n {Barnes and Noble} and Fran{\\c{c}}ois Chollet".replace('\n', " ").as_str(),
        );
        let families: Vec<_> = people.iter().map(|n| n.family.as_str()).collect();
        assert_eq!(families, ["He", "Barnes and Noble", "Chollet"]);
        assert_eq!(people[2].given, "François");
        assert!(names("").is_empty());
    }

    #[test]
    fn values_are_read_as_they_are_set() {
        for (tex, text) in [
            ("Res2Net: {A} New", "Res2Net: A New"),
            ("M{\\\"u}ller \\& S\\o n", "Müller & Søn"),
            ("Piotr Doll{\\'{a}}r", "Piotr Dollár"),
            ("\\v{Z}i\\v{z}ka~x -- y", "Žižka x – y"),
            ("50\\% of {\\ss}", "50% of ß"),
            ("Garc{\\'\\i}a", "García"),
        ] {
            assert_eq!(plain(tex), text, "{tex}");
        }
    }

    #[test]
    fn numbers_and_years_are_held_against_each_other() {
        let of = |fields: &str| references(&format!("@misc{{k, {fields}}}")).unwrap().remove(0);
        let fine = of("year={2020}, eprint={1911.04252}, archivePrefix={arXiv}");
        assert_eq!((fine.arxiv.as_deref(), fine.disagreement()), (Some("1911.04252"), None));
        assert_eq!(fine.url.as_deref(), Some("https://arxiv.org/abs/1911.04252"));
        let early = of("year = 2018, eprint = {1911.04252}");
        assert!(early.disagreement().unwrap().contains("since 2019"));
        assert!(of("year = 2021, eprint = {2013.00001}").disagreement().unwrap().contains("month 13"));
        assert_eq!(of("eprint = {abc}, archivePrefix = {HAL}").arxiv, None);
        let address = of("url = {http://arxiv.org/abs/1804.00097v2}, doi = {https://doi.org/10.1/x}");
        assert_eq!((address.arxiv.as_deref(), address.doi.as_deref()), (Some("1804.00097"), Some("10.1/x")));
    }

    proptest::proptest! {
        #[test]
        fn any_value_is_read(text in "[\\\\{}\"'a-eiov ,~é-]{0,40}") {
            let _ = plain(&text);
            let _ = names(&text);
        }
    }
}
