//! Names to classes: every way to write one, and what is not guessed.

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

fn list(list: &[&str]) -> Arc<NameList> {
    Arc::new(NameList { names: names(list), origin: "the list".into() })
}

fn of(classes: &Classes, list: &Arc<NameList>) -> Vec<Option<usize>> {
    let mut matcher = Matcher::new(classes);
    let label = |index| RawLabel::Listed(list.clone(), index);
    (0..list.names.len()).map(|i| matcher.indices(&label(i), "x.jpg").ok().map(|found| found[0])).collect()
}

#[test]
fn every_way_to_write_a_class_of_imagenet() {
    let classes = Classes::imagenet();
    let tench = [
        "n01440764",
        "tench",
        "Tench",
        "Tinca tinca",
        "tinca_tinca",
        "tench, Tinca tinca",
        "0",
        "000",
        "0.0",
    ];
    let with_id = ["n01440764 tench, Tinca tinca", "n01440764-tench", "n01440764_tench", "tench (n01440764)"];
    for text in tench.iter().chain(&with_id) {
        assert_eq!(classes.find(text), Ok(0), "{text}");
    }
    let buckeye = labels::imagenet().iter().position(|l| l.words.starts_with("buckeye")).unwrap();
    for text in [
        "buckeye, horse chestnut, conker",
        "horse chestnut",
        "horse_chestnut",
        "conker",
        "horse chestnut, conker",
        "conker,buckeye",
    ] {
        assert_eq!(classes.find(text), Ok(buckeye), "{text}");
    }
    // Another class's whole text is not one's synonym.
    assert_eq!(
        classes.find("maillot"),
        Ok(labels::imagenet().iter().position(|l| l.words == "maillot").unwrap())
    );
    for text in ["no such thing", "n00000000", "n00000000 tench", "1000", "-1", "6.5", "tench, goldfish", ""]
    {
        assert_eq!(classes.find(text), Err(NoMatch::Unknown), "{text}");
    }
    assert_eq!(classes.find("crane"), Err(NoMatch::Ambiguous(vec![134, 517])));
}

#[test]
fn every_whole_text_and_every_id_is_its_class() {
    let classes = Classes::imagenet();
    for (index, label) in labels::imagenet().iter().enumerate() {
        assert_eq!(classes.find(label.wnid), Ok(index));
        if label.words != "crane" {
            assert_eq!(classes.find(label.words), Ok(index), "{}", label.words);
        }
    }
}

#[test]
fn a_list_in_another_order_or_of_fewer_classes_is_matched_by_name() {
    let classes = Classes::imagenet();
    let mut all: Vec<&str> = labels::imagenet().iter().map(|l| l.words).collect();
    let straight: Vec<_> = (0..1000).map(Some).collect();
    assert_eq!(of(&classes, &list(&all)), straight, "`crane` stands at its own place, twice");
    // Two names that nobody knows, among 998 at their place.
    (all[7], all[8]) = ("a cock by another name", "a hen by another name");
    assert_eq!(of(&classes, &list(&all)), straight);
    let mut back: Vec<&str> = labels::imagenet().iter().map(|l| l.words).collect();
    back.reverse();
    let found = of(&classes, &list(&back));
    assert_eq!((found[0], found[999], found[999 - 134]), (Some(999), Some(0), None));
    assert_eq!(found.iter().flatten().count(), 998, "the two cranes are not guessed");
    let few = ["chain saw, chainsaw", "tench", "English springer", "n03000684", "Tinca tinca"];
    assert_eq!(of(&classes, &list(&few)), [Some(491), Some(0), Some(217), Some(491), Some(0)]);
    assert_eq!(of(&classes, &list(&["0", "217", "482"])), [Some(0), Some(217), Some(482)]);
}

#[test]
fn a_models_own_classes() {
    let classes = Classes::named(&names(&["cat", "dog, hound", "n01440764", "n01443537 goldfish", "7"]));
    assert_eq!(classes.find("Dog"), Ok(1));
    assert_eq!(classes.find("dog, hound, Canis"), Ok(1));
    assert_eq!(classes.find("n01440764"), Ok(2));
    assert_eq!(classes.find("goldfish"), Ok(3));
    assert_eq!(classes.find("7"), Ok(4), "a class that is called so");
    assert_eq!(classes.find("1"), Ok(1));
    assert_eq!(classes.find("cat, dog"), Err(NoMatch::Unknown));
    assert_eq!((classes.id_name(3), classes.id_name(0)), ("n01443537".into(), "0".into()));
    // Without ids, WordNet's words for one are looked for.
    let classes = Classes::named(&names(&["goldfish", "tench"]));
    assert_eq!(classes.find("n01440764"), Ok(1));
    assert_eq!(
        of(&classes, &list(&["tench, Tinca tinca", "goldfish, Carassius auratus"])),
        [Some(1), Some(0)]
    );
}

#[test]
fn what_no_class_is_called_says_what_is_near() {
    let classes = Classes::imagenet();
    let error =
        Matcher::new(&classes).indices(&RawLabel::Text("golden retreiver".into()), "a.jpg").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("a.jpg") && text.contains("golden retreiver") && text.contains("n02099601"),
        "{text}"
    );
    let error = Matcher::new(&classes).indices(&RawLabel::Text("crane".into()), "a.jpg").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("n02012849") && text.contains("n03126707"), "{text}");
}
