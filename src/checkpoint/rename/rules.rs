//! The user's own rules: a file of lines `REGEX => REPLACEMENT`, which rename, and `! REGEX`, which drop. Called by
//! `zoo convert --rename FILE`.
//!
//! Every rule is applied to every name, in the order of the lines, to what the rules before it made of it;
//! `$1` and `${name}` stand for groups, `#` begins a comment line. What matches a `!` line is left out.

use std::path::{Path, PathBuf};

use regex::Regex;

use crate::error::{Class, Classify};

/// Rules in their order.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    line: usize,
    regex: Regex,
    /// `None` drops.
    replacement: Option<String>,
}

/// A line that is no rule.
#[derive(Debug, thiserror::Error)]
#[error("`{}`, line {line}: {problem}", path.display())]
pub struct BadRule {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl Classify for BadRule {
    fn class(&self) -> Class {
        Class::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some("a rule is `REGEX => REPLACEMENT`, as in `^backbone\\.(.*)$ => $1`, or `! REGEX`, which drops names".into())
    }
}

/// What the rules make of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Pairs of old and new name, of those that changed.
    pub pairs: Vec<(String, String)>,
    /// Names that were dropped.
    pub dropped: Vec<String>,
    /// Lines whose rule matched no name.
    pub idle: Vec<usize>,
}

impl Rules {
    /// Reads rules; `path` is for messages.
    ///
    /// # Errors
    /// The first line that is no rule.
    pub fn parse(path: &Path, text: &str) -> Result<Self, BadRule> {
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let bad = |problem: String| BadRule { path: path.to_owned(), line: index + 1, problem };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (regex, replacement) = match (line.split_once("=>"), line.strip_prefix('!')) {
                (Some((regex, replacement)), _) => (regex, Some(replacement.trim().to_owned())),
                (None, Some(regex)) => (regex, None),
                (None, None) => return Err(bad("no `=>` between a regex and its replacement".into())),
            };
            let regex = Regex::new(regex.trim()).map_err(|e| bad(e.to_string()))?;
            rules.push(Rule { line: index + 1, regex, replacement });
        }
        match rules.is_empty() {
            true => Err(BadRule { path: path.to_owned(), line: 1, problem: "no rule in the file".into() }),
            false => Ok(Rules { rules }),
        }
    }

    /// Applies every rule to every name.
    pub fn apply<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Applied {
        let mut used = vec![false; self.rules.len()];
        let (mut pairs, mut dropped) = (Vec::new(), Vec::new());
        'names: for name in names {
            let mut now = name.to_owned();
            for (rule, used) in self.rules.iter().zip(&mut used) {
                if rule.regex.is_match(&now) {
                    *used = true;
                    let Some(replacement) = &rule.replacement else {
                        dropped.push(name.to_owned());
                        continue 'names;
                    };
                    now = rule.regex.replace_all(&now, replacement.as_str()).into_owned();
                }
            }
            if now != name {
                pairs.push((name.to_owned(), now));
            }
        }
        let idle = self.rules.iter().zip(used).filter(|(_, used)| !used).map(|(rule, _)| rule.line).collect();
        Applied { pairs, dropped, idle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_follow_one_another_and_idle_ones_are_named() {
        let text = "# from ours to timm's\n\n^net\\.(.*)$ => $1\nnorm(\\d) => bn$1\nnever =>\n";
        let applied = Rules::parse(Path::new("r"), text).unwrap().apply(["net.norm1.weight", "fc.bias"]);
        assert_eq!(applied.pairs, [("net.norm1.weight".to_owned(), "bn1.weight".to_owned())]);
        assert_eq!(applied.idle, [5]);
    }

    #[test]
    fn a_rule_drops_what_it_matches_after_those_before_it() {
        let text = "! ^ema\\.\n^model\\. =>\n!^metric\n";
        let names = ["model.a", "ema.a", "metric", "model.metric_head", "b"];
        let applied = Rules::parse(Path::new("r"), text).unwrap().apply(names);
        assert_eq!(applied.dropped, ["ema.a", "metric", "model.metric_head"]);
        assert_eq!(applied.pairs, [("model.a".to_owned(), "a".to_owned())]);
        assert!(applied.idle.is_empty());
    }

    #[test]
    fn a_line_that_is_no_rule_is_named() {
        for (text, line, word) in [("a => b\nx", 2, "=>"), ("# only\n", 1, "no rule"), ("( => b", 1, "regex")]
        {
            let error = Rules::parse(Path::new("r.txt"), text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
