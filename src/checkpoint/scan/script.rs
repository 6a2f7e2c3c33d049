//! TorchScript in an archive: what of its source runs when `torch.jit.load` reads the file, and which operators reach
//! out of the program. In: a source member. Out: entries of the [`Survey`]. Nothing of it is compiled or run.
//!
//! Loading compiles the source and runs `__setstate__` of every class that has one; methods run when the module is
//! called. Builtin operators are printed as `torch.NAME(…)`, those of libraries as `ops.LIBRARY.NAME(…)`.

use std::collections::HashSet;
use std::io;

use super::finding::Found;
use super::part::{MAX_FRONT, Part};
use super::survey::{Location, Survey};
use crate::checkpoint::pickle::ImportClass;

/// Operators of `aten` that touch what is outside of the program.
const REACHING: &[(&str, &str)] = &[
    ("save", "write a file"),
    ("from_file", "open a file"),
    ("rpc_async", "call a function on another machine"),
    ("rpc_sync", "call a function on another machine"),
    ("rpc_remote", "call a function on another machine"),
];

/// Libraries of operators that torch and its own packages register.
const LIBRARIES: &[&str] = &[
    "aten",
    "prim",
    "prims",
    "quantized",
    "_quantized",
    "quantized_decomposed",
    "sparse",
    "mkldnn",
    "mkldnn_prepacked",
    "onednn",
    "mkl",
    "prepacked",
    "xnnpack",
    "metal",
    "metal_prepack",
    "vulkan_prepack",
    "profiler",
    "static_runtime",
    "inductor",
    "torchvision",
    "torchaudio",
    "torchtext",
    "_torch_testing",
    "cuda",
    "nvprims",
    "symm_mem",
    "_caffe2",
];

/// Classes of C++ that only hold packed weights; their `__setstate__` packs them again.
const PACKED: &[&str] = &["quantized", "sparse", "xnnpack", "rnn", "mkldnn", "vulkan", "metal"];

/// What to think of one of the archive's own classes, by its path, and what loading does with it.
pub(super) fn own_class(path: &str) -> (ImportClass, String) {
    match path.strip_prefix("__torch__.torch.classes.") {
        Some(class)
            if !PACKED.iter().any(|p| class.strip_prefix(p).is_some_and(|rest| rest.starts_with('.'))) =>
        {
            (ImportClass::Unknown, format!("would run `__setstate__` of the C++ class `{class}`"))
        }
        _ => (ImportClass::Known, "builds data".to_owned()),
    }
}

/// Looks through one file of source.
pub(super) fn source(survey: &mut Survey, part: &Part<'_>, at: &Location) -> io::Result<()> {
    let bytes = part.front(MAX_FRONT)?;
    if !survey.spend(bytes.len() as u64, at) {
        return Ok(());
    }
    if (bytes.len() as u64) < part.len {
        survey.unscanned(
            at,
            bytes.len() as u64,
            format!("only its first {} bytes were looked into", bytes.len()),
        );
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        survey.unscanned(at, 0, "TorchScript that is not UTF-8");
        return Ok(());
    };
    let module = at.member.as_deref().and_then(module_of).unwrap_or_else(|| "__torch__".to_owned());
    let (mut class, mut before) = (String::new(), String::new());
    let mut seen = HashSet::new();
    let mut names = Names { text, at: 0 };
    while let Some(Name { words, offset, of_a_value }) = names.next() {
        if let ([word], false) = (words.as_slice(), of_a_value) {
            if before == "class" {
                (*word).clone_into(&mut class);
            } else if before == "def" && *word == "__setstate__" {
                let effect = "its TorchScript would run as torch.jit.load reads the file".to_owned();
                note(survey, at, &format!("{module}.{class}"), word, offset, ImportClass::Unknown, effect);
            }
        }
        if let Some((module, name, verdict, effect)) = operator(&words, of_a_value)
            && seen.insert((module.clone(), name.clone()))
        {
            note(survey, at, &module, &name, offset, verdict, effect);
        }
        before = words.last().copied().unwrap_or_default().to_owned();
    }
    Ok(())
}

/// What is reported of a dotted name, if anything: `torch.save`, `ops.aten.save`, `ops.mylib.run`, and `(t).save`, which is
/// the tensor's own and the same operator. Without a call too: the language lets functions and modules have other names.
fn operator(words: &[&str], of_a_value: bool) -> Option<(String, String, ImportClass, String)> {
    let reaching = |words: &[&str]| {
        words.iter().find_map(|word| REACHING.iter().find(|(name, _)| name == word)).copied()
    };
    let (first, rest) = words.split_first()?;
    if of_a_value {
        let (name, what) = reaching(words)?;
        return Some((
            "torch".into(),
            name.into(),
            ImportClass::Dangerous,
            format!("could {what}, when the code around it runs"),
        ));
    }
    match (*first, rest) {
        ("ops", [library, name, ..]) if !LIBRARIES.contains(library) => {
            let effect = format!("could call an operator of `{library}`, which another library registers");
            Some((format!("torch.ops.{library}"), (*name).to_owned(), ImportClass::Unknown, effect))
        }
        ("ops", [] | [_]) => {
            let effect = "could call any operator by another name".to_owned();
            Some(("torch".into(), "ops".into(), ImportClass::Unknown, effect))
        }
        // The path of a class.
        ("__torch__", _) => None,
        _ => {
            let (name, what) = reaching(rest)?;
            let effect = format!("could {what}, when the code around it runs");
            Some(("torch".into(), name.into(), ImportClass::Dangerous, effect))
        }
    }
}

fn note(
    survey: &mut Survey,
    at: &Location,
    module: &str,
    name: &str,
    offset: u64,
    verdict: ImportClass,
    effect: String,
) {
    let member = at.member.clone();
    let (module, name) = (module.to_owned(), name.to_owned());
    survey.found(Found { member, module, name, offset, verdict, effect });
}

/// `ARCHIVE/code/__torch__/a/b.py` holds the classes of `__torch__.a.b`.
fn module_of(member: &str) -> Option<String> {
    let (_, path) = member.rsplit_once("code/")?;
    Some(path.strip_suffix(".py")?.replace('/', "."))
}

/// A dotted name.
struct Name<'a> {
    words: Vec<&'a str>,
    /// Where it begins.
    offset: u64,
    /// A dot stands before it: it is an attribute of what an expression gives.
    of_a_value: bool,
}

/// The dotted names of a source, without what is in strings and comments.
struct Names<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Names<'a> {
    fn next(&mut self) -> Option<Name<'a>> {
        let mut dot = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'\'' | b'"' => {
                    self.skip_string(byte);
                    dot = false;
                }
                b'.' => {
                    self.at += 1;
                    dot = true;
                }
                b if is_word(b) => {
                    let offset = self.at as u64;
                    let mut words = vec![self.word()];
                    while self.peek() == Some(b'.') {
                        self.at += 1;
                        match self.peek() {
                            Some(b) if is_word(b) => words.push(self.word()),
                            _ => break,
                        }
                    }
                    return Some(Name { words, offset, of_a_value: dot });
                }
                _ => {
                    self.at += 1;
                    dot = false;
                }
            }
        }
        None
    }

    /// The next byte that is no blank and in no comment.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at).copied()? {
                b'#' => self.skip_to(|b| b == b'\n'),
                b' ' | b'\t' | b'\r' | b'\n' | b'\\' | 0x0c => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn word(&mut self) -> &'a str {
        let start = self.at;
        self.skip_to(|b| !is_word(b));
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn skip_to(&mut self, stop: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|&b| stop(b)).unwrap_or(rest.len());
    }

    fn skip_string(&mut self, quote: u8) {
        let bytes = self.text.as_bytes();
        let triple = [quote; 3];
        let long = bytes.get(self.at..).is_some_and(|rest| rest.starts_with(&triple));
        let end: &[u8] = if long { &triple } else { triple.get(..1).unwrap_or_default() };
        self.at += end.len();
        while let Some(&byte) = bytes.get(self.at) {
            if bytes.get(self.at..).is_some_and(|rest| rest.starts_with(end)) {
                self.at += end.len();
                return;
            }
            // A string that is not closed ends with its line: what follows is looked at.
            if byte == b'\n' && !long {
                return;
            }
            self.at += if byte == b'\\' { 2 } else { 1 };
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> Vec<(String, ImportClass)> {
        let mut survey = Survey::default();
        survey.add_file(&Vec::new()).unwrap();
        let at = Location { member: Some("m/code/__torch__/a.py".into()), ..Location::default() };
        let bytes = code.as_bytes().to_vec();
        source(&mut survey, &Part::whole(&bytes), &at).unwrap();
        survey.imports.iter().map(|f| (f.path(), f.verdict)).collect()
    }

    #[test]
    fn what_runs_on_loading_and_what_reaches_out() {
        let set = "class Box:\n  t : Tensor\n  def __setstate__(self: __torch__.a.Box,\n    t: Tensor) -> NoneType:\n";
        assert_eq!(found(set), [("__torch__.a.Box.__setstate__".to_owned(), ImportClass::Unknown)]);
        for call in [
            "torch.save(t, \"x\")",
            "ops.aten.save(t, 'x')",
            "torch . save (t)",
            "_0 = torch.save(\n    t)",
            "f = torch.save",
            "(t).save(\"x\")",
            "(torch).save(t)",
            "t.save(\"x\")",
            "torch.# why not\n  save(t)",
            "ts[0].save(\"x\")",
        ] {
            assert_eq!(
                found(&format!("def f(t):\n  {call}\n")),
                [("torch.save".to_owned(), ImportClass::Dangerous)],
                "{call}"
            );
        }
        assert_eq!(found("  ops.mine.run(x)\n"), [("torch.ops.mine.run".to_owned(), ImportClass::Unknown)]);
        assert_eq!(found("  o = ops\n  o.mine.run(x)\n"), [("torch.ops".to_owned(), ImportClass::Unknown)]);
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        assert!(found("  # torch.save(t)\n  x = \"torch.save(t)\"\n  y = torch.conv2d(x)\n").is_empty());
        assert!(found("  z = ops.torchvision.nms(x)\n  saved = torch.saved(x)\n").is_empty());
        assert!(found("  x : __torch__.my.save.Box\n  y = 1.5\n").is_empty());
        assert_eq!(found("  x = \"\\\"\"\n  torch.save(t)\n").len(), 1);
        assert_eq!(found("  x = \"open\n  torch.save(t)\n").len(), 1);
    }
}
