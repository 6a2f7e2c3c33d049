//! Labels that are not the model's: in another order, off by one, or all the same. Only guesses are needed: under the right
//! reading they agree with the labels, under the wrong one hardly ever.

use std::collections::{BTreeMap, HashMap};

use super::Finding;
use super::probe::Seen;
use crate::dataset::{Dataset, check};
use crate::model::Labels;

/// A reading of labels must explain so much of what the given one does not.
const MIN_SHARE: f64 = 0.3;

/// What class a label means.
type Reading = dyn Fn(usize) -> Option<usize>;

/// The finding, where one reading explains the guesses.
pub(super) fn explain(seen: &[Seen], labels: &Labels) -> Option<Finding> {
    if seen.len() < 20 {
        return None;
    }
    let right = |of: &Reading| {
        seen.iter().filter(|s| of(s.label) == Some(s.guess)).count() as f64 / seen.len() as f64
    };
    let as_given = right(&Some);
    one_class(seen, as_given)
        .or_else(|| known_order(&right, as_given, labels))
        .or_else(|| some_order(seen, as_given, labels))
}

/// Images whose names number them as ImageNet's validation images are, under other labels than those that were published
/// for their numbers. No guess is needed for that.
pub(super) fn against_published(dataset: &Dataset, labels: &Labels) -> Option<Finding> {
    let (numbered, wrong) = check::against_published(dataset);
    let (item, published) = wrong.first()?;
    let name = |class: usize| format!("{class}, {}", labels.name(class));
    let found: Vec<String> = item.labels.iter().map(|&class| name(class)).collect();
    Some(Finding {
        hypothesis: "labels-published".into(),
        says: format!(
            "{} of the {numbered} numbered images have another label than the one published for their number",
            wrong.len()
        ),
        evidence: format!(
            "`{}` is labelled {}; published: {}",
            item.path,
            found.join("; "),
            name(*published)
        ),
        fix: format!(
            "put the images under their published labels, which the devkit has; `zoo dataset check {}` lists them",
            dataset.name
        ),
    })
}

/// All images in one folder that is not a class.
fn one_class(seen: &[Seen], as_given: f64) -> Option<Finding> {
    let first = seen.first()?.label;
    let mut guesses: Vec<usize> = seen.iter().map(|s| s.guess).collect();
    guesses.sort_unstable();
    guesses.dedup();
    let one = seen.iter().all(|s| s.label == first);
    (one && guesses.len() * 4 > seen.len().min(80) && as_given < 0.5).then(|| Finding {
        hypothesis: "one-class".into(),
        says: format!("every image has the label {first}: a flat folder was read as one class"),
        evidence: format!("the model sees {} classes in {} images", guesses.len(), seen.len()),
        fix: "put the images into one folder a class, or beside the devkit, which says their classes".into(),
    })
}

/// An order of classes that people have had before.
fn known_order(right: &dyn Fn(&Reading) -> f64, as_given: f64, labels: &Labels) -> Option<Finding> {
    // Of classes without names both are the order of the index, which explains nothing.
    let mut by_name: Vec<usize> = (0..labels.len()).collect();
    by_name.sort_by_key(|&class| labels.get(class).map(|l| l.text.to_lowercase()));
    let mut by_bytes = by_name.clone();
    by_bytes.sort_by_key(|&class| labels.get(class).map(|l| l.text.as_str()));
    let named = |order: Vec<usize>| move |label: usize| order.get(label).copied();
    let readings: [(&str, &str, Box<Reading>); 4] = [
        (
            "labels-by-name",
            "the label is a position among the class names in alphabetical order",
            Box::new(named(by_name)),
        ),
        (
            "labels-by-name",
            "the label is a position among the class names in the order of their bytes",
            Box::new(named(by_bytes)),
        ),
        (
            "labels-from-1",
            "the labels count from 1, and classes from 0",
            Box::new(|label| label.checked_sub(1)),
        ),
        ("labels-shifted", "the labels are one too small", Box::new(|label| Some(label + 1))),
    ];
    let best = readings.into_iter().map(|(name, says, of)| (right(&*of), name, says));
    let (share, hypothesis, says) = best.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (share > as_given + MIN_SHARE).then(|| Finding {
        hypothesis: hypothesis.into(),
        says: says.into(),
        evidence: format!("read so, {:.1} % are right; as given, {:.1} %", 100.0 * share, 100.0 * as_given),
        fix: "name class folders by synset (`n01440764`), whose sorted order is that of the classes".into(),
    })
}

/// Some other order: images of one label are guessed alike, and as another class.
fn some_order(seen: &[Seen], as_given: f64, labels: &Labels) -> Option<Finding> {
    let mut by_label: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for s in seen {
        by_label.entry(s.label).or_default().push(s.guess);
    }
    // What a label is mostly taken for. A model that sees the same few classes everywhere is broken, and its labels are
    // not in another order: there every label is taken for a class of its own.
    let mode = |guesses: &[usize]| {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        guesses.iter().for_each(|g| *counts.entry(*g).or_default() += 1);
        counts
            .into_iter()
            .map(|(g, n)| (n, std::cmp::Reverse(g)))
            .max()
            .map(|(n, std::cmp::Reverse(g))| (n, g))
    };
    let mut guessed_as: HashMap<usize, usize> = HashMap::new();
    for (_, guess) in by_label.values().filter_map(|g| mode(g)) {
        *guessed_as.entry(guess).or_default() += 1;
    }
    // Each guess against the most frequent of the others under its label: by luck they hardly ever agree.
    let (mut alike, mut compared) = (0_usize, 0_usize);
    let mut example: Option<(usize, usize, usize, usize)> = None;
    for (label, guesses) in by_label.iter().filter(|(_, g)| g.len() > 1) {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        guesses.iter().for_each(|g| *counts.entry(*g).or_default() += 1);
        for guess in guesses {
            let others = counts.iter().map(|(&g, &n)| (n - usize::from(g == *guess), std::cmp::Reverse(g)));
            let most = others.max().map(|(_, std::cmp::Reverse(g))| g);
            compared += 1;
            alike +=
                usize::from(most == Some(*guess) && guessed_as.get(guess).is_none_or(|&labels| labels == 1));
        }
        if let Some((n, guess)) = mode(guesses).filter(|(_, guess)| guess != label)
            && example.as_ref().is_none_or(|(before, ..)| n > *before)
        {
            example = Some((n, guesses.len(), *label, guess));
        }
    }
    let share = alike as f64 / compared.max(1) as f64;
    let (n, of, label, guess) = example.filter(|_| compared >= 20 && share > as_given + MIN_SHARE)?;
    let name = |class: usize| labels.get(class).map_or_else(|| class.to_string(), |l| l.text.clone());
    Some(Finding {
        hypothesis: "labels-order".into(),
        says: "the labels number the classes in another order than the sorted synsets: the devkit's own, or another year's".into(),
        evidence: format!(
            "images of one label are guessed alike in {:.1} % of cases, and right in {:.1} %; {n} of {of} with label \
             {label} ({}) are taken for {guess} ({})",
            100.0 * share, 100.0 * as_given, name(label), name(guess)
        ),
        fix: "use class folders named by synset, or the devkit with its `meta.mat`, which says what its numbers mean".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 200 images of 20 classes, seven in ten of them right, under labels that `of` gives.
    fn seen(of: impl Fn(usize) -> usize) -> Vec<Seen> {
        (0..200)
            .map(|i| {
                let class = (i % 20) * 47;
                let guess = if i % 10 < 7 || i < 60 { class } else { (i * 37) % 1000 };
                Seen { label: of(class), guess, log_prob: -1.0 }
            })
            .collect()
    }

    fn named(of: impl Fn(usize) -> usize) -> Option<String> {
        explain(&seen(of), &Labels::imagenet()).map(|f| f.hypothesis)
    }

    #[test]
    fn each_fault_is_named_and_none_where_there_is_none() {
        assert_eq!(named(|c| c), None);
        assert_eq!(named(|c| c + 1).as_deref(), Some("labels-from-1"));
        assert_eq!(named(|c| c.saturating_sub(1)).as_deref(), Some("labels-shifted"));
        assert_eq!(named(|_| 3).as_deref(), Some("one-class"));
        assert_eq!(named(|c| (c * 331 + 7) % 1000).as_deref(), Some("labels-order"));
        let mut by_name: Vec<usize> = (0..1000).collect();
        let labels = Labels::imagenet();
        by_name.sort_by_key(|&class| labels.name(class).to_lowercase());
        let rank = |class: usize| by_name.iter().position(|&c| c == class).unwrap();
        assert_eq!(named(rank).as_deref(), Some("labels-by-name"));
    }

    #[test]
    fn a_weak_model_is_no_fault_of_labels() {
        let weak: Vec<Seen> =
            (0..200).map(|i| Seen { label: i % 20, guess: (i * 37) % 1000, log_prob: -6.0 }).collect();
        assert_eq!(explain(&weak, &Labels::imagenet()), None);
        let few: Vec<Seen> =
            (0..200).map(|i| Seen { label: i % 20, guess: 400 + i % 4, log_prob: -6.0 }).collect();
        assert_eq!(
            explain(&few, &Labels::imagenet()),
            None,
            "a broken model that sees four classes in everything"
        );
    }
}
