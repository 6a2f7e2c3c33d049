//! What names say, by one rule for every layout: which files are images, which are some system's own, which split and
//! shard a file is of, what columns of images and labels are called.
//!
//! In: names of files, members and columns. Called by every layout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::image;

/// Columns of labels, the most usual first. Where a set has two kinds of label, the finer one is meant.
pub(super) const LABEL_COLUMNS: [&str; 26] = [
    "label",
    "labels",
    "fine_label",
    "cls",
    "class",
    "class_id",
    "class_index",
    "class_idx",
    "category",
    "category_id",
    "target",
    "targets",
    "label_id",
    "label_idx",
    "y",
    "wnid",
    "synset",
    "synset_id",
    "class_name",
    "label_name",
    "label_text",
    "text_label",
    "json.label",
    "json.cls",
    "prediction_string",
    "coarse_label",
];

/// Columns that name an image, where its bytes are not in them.
pub(super) const PATH_COLUMNS: [&str; 15] = [
    "path",
    "file_name",
    "filename",
    "file",
    "image_path",
    "image_file",
    "image_name",
    "image_id",
    "image",
    "img",
    "img_path",
    "__key__",
    "key",
    "name",
    "id",
];

/// What systems leave beside people's files, in lower case; names that begin with a point are taken for such too.
const SYSTEM_NAMES: [&str; 10] = [
    "__macosx",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "#recycle",
    "icon\r",
];

/// Whether a file or folder is some system's own: `._x.jpg`, `.DS_Store`, `__MACOSX`, `lost+found`, `Thumbs.db` …
pub(crate) fn is_system(name: &str) -> bool {
    let dots = name == "." || name == "..";
    (name.starts_with('.') && !dots) || SYSTEM_NAMES.contains(&name.to_lowercase().as_str())
}

/// Whether a member's path is some system's own, or in a folder that is.
pub(super) fn is_in_system(path: &str) -> bool {
    path.split('/').any(is_system)
}

/// Whether a file's name is that of an image.
pub(super) fn is_image(path: &Path) -> bool {
    image::has_image_extension(path)
}

/// The last part of a path, as text.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The last part of a member's path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// A file's name without its extension.
pub(super) fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

/// In lower case.
pub(super) fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// A part of a dataset, by what files and folders of it are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    /// By a word of a name, as `datasets` has them: `train-00000-of-00294`, `imagenet1k-validation-07`, `val2012`.
    pub(super) fn of(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        lower.split(|c: char| !c.is_ascii_alphabetic()).find_map(Split::of_word)
    }

    fn of_word(word: &str) -> Option<Self> {
        match word {
            "val" | "valid" | "validation" | "dev" => Some(Split::Validation),
            "test" | "testing" | "eval" | "evaluation" => Some(Split::Test),
            "train" | "training" => Some(Split::Train),
            _ => None,
        }
    }

    /// Of a folder, whose name may also be a class's: `bullet train` is none. All its words must be those of splits and
    /// datasets.
    pub(super) fn of_folder(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let mut words = lower
            .split(|c: char| matches!(c, '_' | '-' | '.') || c.is_ascii_digit())
            .filter(|w| !w.is_empty());
        words
            .all(|word| FOLDER_WORDS.contains(&word) || Split::of_word(word).is_some())
            .then(|| Split::of(name))
            .flatten()
    }
}

/// What folders of splits may have in their names besides the split.
const FOLDER_WORDS: [&str; 13] = [
    "imagenet",
    "ilsvrc",
    "imagenette",
    "imagewoof",
    "img",
    "imgs",
    "image",
    "images",
    "partial",
    "set",
    "split",
    "data",
    "k",
];

/// Of files of several splits, those of the validation split, else of the test split. Training images are not what a
/// model is measured on: they are taken only where nothing else is there.
pub(super) fn of_one_split(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let split = |path: &PathBuf| Split::of(stem(&name_of(path)));
    let has = |wanted| files.iter().any(|f| split(f) == Some(wanted));
    let wanted = match (has(Split::Validation), has(Split::Test), has(Split::Train)) {
        (true, false, false) | (false, false, _) => return files,
        (true, ..) => Split::Validation,
        (false, true, false) => return files,
        (false, true, true) => Split::Test,
    };
    files.into_iter().filter(|f| split(f) == Some(wanted)).collect()
}

/// The shards of a set that are not there: all that `-of-00003` promises, else the gaps in the numbers.
pub(super) fn missing_shards(files: &[PathBuf]) -> Vec<String> {
    /// How many there should be, and by number how they are called.
    type Set = (Option<usize>, BTreeMap<usize, ()>);
    let mut sets: BTreeMap<(String, String, usize), Set> = BTreeMap::new();
    for name in files.iter().map(|f| name_of(f)) {
        let Some((head, number, tail)) = shard(&name) else { continue };
        let total = tail.strip_prefix("-of-").and_then(|rest| {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            rest.get(..digits)?.parse().ok()
        });
        let (Ok(n), width) = (number.parse::<usize>(), number.len()) else { continue };
        let set = sets.entry((head.to_owned(), tail.to_owned(), width)).or_default();
        set.0 = total;
        set.1.insert(n, ());
    }
    let mut missing = Vec::new();
    for ((head, tail, width), (total, there)) in sets {
        let (Some((&first, ())), Some((&last, ()))) = (there.first_key_value(), there.last_key_value())
        else {
            continue;
        };
        // A total that no set of files has is no total.
        let expected = match total {
            Some(total) if total > last && total <= 1 << 20 => 0..total,
            _ => first..last + 1,
        };
        if expected.len() > 1 << 20 {
            continue;
        }
        let absent = expected.filter(|n| !there.contains_key(n));
        missing.extend(absent.map(|n| format!("{head}{n:0width$}{tail}")));
    }
    missing
}

/// A shard's name around its number: the one before `-of-`, else the last.
fn shard(name: &str) -> Option<(&str, &str, &str)> {
    let end = match name.find("-of-") {
        Some(at) => at,
        None => stem(name).len(),
    };
    let head = name.get(..end)?.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name.get(head.len()..end).filter(|digits| !digits.is_empty() && digits.len() < 10)?;
    Some((head, number, name.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn what_systems_leave_is_no_data() {
        for name in
            ["._x.jpg", ".DS_Store", "__MACOSX", "lost+found", "Thumbs.db", "@eaDir", ".ipynb_checkpoints"]
        {
            assert!(is_system(name), "{name}");
        }
        assert!(!is_system(".") && !is_system("x.jpg") && !is_system("n01440764"));
        assert!(is_in_system("./__MACOSX/n01440764/._x.jpg") && !is_in_system("./n01440764/x.jpg"));
    }

    #[test]
    fn splits_are_words_of_names() {
        let of = [
            "train-00000-of-00294",
            "imagenet1k-validation-07",
            "val2012",
            "retrieval",
            "ILSVRC2012_img_val",
            "x",
        ];
        let of = of.map(Split::of);
        let validation = Some(Split::Validation);
        assert_eq!(of, [Some(Split::Train), validation, validation, None, validation, None]);
        let folders =
            ["val", "val2012", "ILSVRC2012_img_val", "partial-validation", "bullet_train", "test tube"];
        assert_eq!(
            folders.map(Split::of_folder),
            [validation, validation, validation, validation, None, None]
        );
        let chosen = |names: &[&str]| of_one_split(paths(names));
        assert_eq!(chosen(&["train-0.tar", "val-0.tar", "test-0.tar"]), paths(&["val-0.tar"]));
        assert_eq!(chosen(&["train-0.tar", "test-0.tar"]), paths(&["test-0.tar"]));
        assert_eq!(chosen(&["train-0.tar", "train-1.tar"]).len(), 2);
        assert_eq!(chosen(&["a.tar", "val.tar"]).len(), 2);
    }

    #[test]
    fn shards_that_are_not_there_are_named() {
        let of = |names: &[&str]| missing_shards(&paths(names));
        assert_eq!(
            of(&["validation-00000-of-00003.parquet", "validation-00002-of-00003.parquet"]),
            ["validation-00001-of-00003.parquet"]
        );
        assert_eq!(of(&["validation-00000-of-00002.parquet"]), ["validation-00001-of-00002.parquet"]);
        assert_eq!(of(&["v-00000-of-00002-abcd.parquet", "v-00001-of-00002-abcd.parquet"]).len(), 0);
        assert_eq!(of(&["v-00.tar", "v-03.tar"]), ["v-01.tar", "v-02.tar"]);
        assert_eq!(of(&["v-01.tar", "v-02.tar", "images.tar", "2.tar"]).len(), 0);
        assert_eq!(of(&["v-00005-of-00002.parquet"]).len(), 0);
    }
}
