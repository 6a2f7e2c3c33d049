//! The verdict that opening a checkpoint asks for: whether what lies in its files is refused, and in which words. In: the
//! sources. Called by [`super::super::open`]; `scan` prints what the same survey found.

use std::io;

use super::finding::Found;
use super::survey::Survey;
use crate::checkpoint::error::{ReadError, shortened};
use crate::checkpoint::source::Source;

/// Whether anything in a file is named as an import: then it is a pickle, however broken.
pub(in crate::checkpoint) fn names_anything(source: &dyn Source) -> bool {
    Survey::of(source).is_ok_and(|survey| !survey.imports.is_empty())
}

/// Why a file is refused, if it is: what it names outside of the known set, or what was not looked into. With
/// `allow_opaque` it is not, and the same is listed.
pub(in crate::checkpoint) fn sources(
    sources: &[Box<dyn Source>],
    allow_opaque: bool,
) -> io::Result<std::result::Result<Vec<String>, ReadError>> {
    let mut survey = Survey::default();
    for source in sources.iter().filter(|s| !s.is_remote()) {
        survey.add_file(source.as_ref())?;
    }
    if let (Some(fault), false) = (survey.problems.first(), allow_opaque) {
        return Ok(Err(fault.clone().into()));
    }
    let strange: Vec<&Found> = survey.strange().collect();
    if allow_opaque {
        let imports = strange.iter().map(|f| f.path());
        return Ok(Ok(imports
            .chain(survey.unscanned.iter().map(|u| format!("{u}, not looked into")))
            .collect()));
    }
    if let Some(text) = refusal(strange) {
        return Ok(Err(ReadError::Code(text)));
    }
    let text = listed(survey.unscanned.iter().map(ToString::to_string));
    Ok(text.map_or(Ok(Vec::new()), |text| Err(ReadError::Unscanned(text))))
}

/// The most that a message lists.
const MAX_SHOWN: usize = 3;

fn refusal(mut strange: Vec<&Found>) -> Option<String> {
    strange.sort_by_key(|f| (std::cmp::Reverse(f.verdict), f.offset));
    listed(strange.iter().map(|f| {
        let member = f.member.as_ref().map(|m| format!(" of `{}`", shortened(m))).unwrap_or_default();
        format!("`{}` ({}) at byte {}{member}: {}", f.path(), f.verdict.name(), f.offset, f.effect)
    }))
}

fn listed(all: impl ExactSizeIterator<Item = String>) -> Option<String> {
    let count = all.len();
    let mut text = all.take(MAX_SHOWN).collect::<Vec<_>>().join("; ");
    if count > MAX_SHOWN {
        text.push_str(&format!("; and {} more", count - MAX_SHOWN));
    }
    (count > 0).then_some(text)
}
