//! Citations: every page's BibTeX as it was published, in the forms that managers read; and a documentation page that is
//! written and read back.

use std::collections::BTreeSet;

use serde_json::Value;
use zoo::registry::citation::{references, text};
use zoo::registry::pages;

use crate::support::Home;

/// The citation of the seed's page, to the letter.
const NOISY_STUDENT: &str = "@misc{xie2020selftraining,
      title={Self-training with Noisy Student improves ImageNet classification}, 
      author={Qizhe Xie and Minh-Thang Luong and Eduard Hovy and Quoc V. Le},
      year={2020},
      eprint={1911.04252},
      archivePrefix={arXiv},
      primaryClass={cs.LG}
}";

#[test]
fn every_page_has_its_citation_and_each_is_sound() {
    let index = pages::builtin().unwrap();
    let mut distinct = BTreeSet::new();
    let mut pages = 0;
    for collection in index.collections.iter().filter(|c| !c.own.file.contains("zoo-pypi")) {
        let name = collection.name().unwrap();
        let bibtex = text(&collection.own()).unwrap_or_else(|| panic!("{name} has no citation"));
        pages += 1;
        for reference in references(&bibtex).unwrap_or_else(|e| panic!("{name}: {e:?}")) {
            assert_eq!(reference.disagreement(), None, "{name}");
            assert!(
                reference.title.is_some() && reference.year.is_some() && reference.url.is_some(),
                "{name}"
            );
            assert!(!reference.authors.is_empty(), "{name}");
            assert!(reference.authors.iter().all(|a| !a.family.contains(['{', '\\'])), "{name}");
            distinct.insert(reference.entry.text);
        }
    }
    assert_eq!((pages, distinct.len()), (63, 39));
}

#[test]
fn a_citation_is_printed_to_the_letter_and_in_other_forms() {
    let home = Home::new();
    let cite = |rest: &[&str]| {
        let ran = home.run(&[&["cite"], rest].concat());
        assert_eq!(ran.code, Some(0), "{rest:?}: {ran:?}");
        ran.out
    };
    let expected = format!("{NOISY_STUDENT}\n");
    assert_eq!(cite(&["tf_efficientnet_b0_ns"]), expected);
    assert_eq!(cite(&["Noisy Student", "tf_efficientnet_b7_ns"]), expected, "once");
    let two = cite(&["resnet50d", "tf_efficientnet_b0_ns", "gluon_resnet18_v1b", "tv_resnet50"]);
    assert_eq!(two.matches("@").count(), 3, "{two}");
    let csl: Value =
        serde_json::from_str(&cite(&["tf_efficientnet_b0_ns", "res2net50_26w_4s", "--format", "csl-json"]))
            .unwrap();
    assert_eq!(csl[0]["author"][3], serde_json::json!({"family": "Le", "given": "Quoc V."}));
    assert_eq!(
        (csl[0]["type"].as_str(), csl[0]["number"].as_str()),
        (Some("article"), Some("arXiv:1911.04252"))
    );
    assert_eq!(
        (csl[1]["type"].as_str(), csl[1]["DOI"].as_str()),
        (Some("article-journal"), Some("10.1109/tpami.2019.2938758"))
    );
    let text = cite(&["tf_efficientnet_b0_ns", "--format", "text"]);
    assert_eq!(
        text,
        "Qizhe Xie, Minh-Thang Luong, Eduard Hovy, and Quoc V. Le. Self-training with Noisy Student improves ImageNet \
         classification. arXiv:1911.04252, 2020. https://arxiv.org/abs/1911.04252\n"
    );
    // Ours has no BibTeX: what is known is cited.
    assert!(cite(&["efficientnet_lite0_pypi"]).contains("@misc{"));
    let card = home.run(&["card", "tf_efficientnet_b0_ns"]).out;
    assert!(card.contains(NOISY_STUDENT) && card.contains("https://arxiv.org/abs/1911.04252"), "{card}");
    assert!(!card.contains("paperswithcode"), "{card}");
}

#[test]
fn the_page_of_noisy_student_is_the_seeds_and_comes_back() {
    let home = Home::new();
    let page = home.run(&["page", "Noisy Student"]);
    assert_eq!(page.code, Some(0), "{page:?}");
    for section in [
        "# Noisy Student",
        "**Noisy Student Training** is a semi-supervised learning approach. It extends the idea of self-training\nand distillation",
        "1. train a teacher model on labeled images\n2. use the teacher",
        "## How do I use this model on an image?",
        "## How do I finetune this model?",
        "## How do I train this model?",
        "## Citation",
        "To load a pretrained model",
        "To load and preprocess the image:",
        "To get the model predictions:",
        "To get the top-5 predictions class names:",
        "extract image features",
        &format!("```BibTeX\n{NOISY_STUDENT}\n```"),
        "<!--\nType: model-index",
    ] {
        assert!(page.out.contains(section), "no `{section}` in\n{}", page.out);
    }
    home.write("page.md", &page.out);
    let back = home.run(&["import", "page.md", "--check"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    // Its prose alone gives the same, where the metadata leave it out.
    let (prose, metadata) = page.out.split_once("<!--\n").unwrap();
    let strip = |text: &str, key: &str| {
        let start = text.find(&format!("  {key}: |")).unwrap();
        let rest = &text[start..];
        let end = rest.lines().skip(1).take_while(|l| l.starts_with("    ") || l.is_empty());
        let length = rest.lines().next().unwrap().len() + 1 + end.map(|l| l.len() + 1).sum::<usize>();
        format!("{}{}", &text[..start], &rest[length..])
    };
    let bare = strip(&strip(metadata, "Description"), "Citation");
    assert!(!bare.contains("xie2020selftraining") && bare.contains("Models:"), "{bare}");
    home.write("bare.md", format!("{prose}<!--\n{bare}"));
    let back = home.run(&["import", "bare.md", "--check"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    let yaml = home.run(&["import", "bare.md"]);
    assert!(yaml.out.contains("xie2020selftraining") && yaml.out.contains("Description:"), "{}", yaml.out);
}

#[test]
fn what_is_no_bibtex_is_left_out_and_said() {
    let home = Home::new();
    let page = "# X\n\nAbout it.\n\n## Citation\n\n```BibTeX\n@article{open,\n@misc{b,\n  title={x}\n}\n```\n\n\
                <!--\nCollections:\n- Name: X\nModels:\n- Name: m\n  In Collection: X\n-->\n";
    home.write("page.md", page);
    let ran = home.run(&["import", "page.md"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("@misc{b,") && !ran.out.contains("@article"), "{}", ran.out);
    assert!(ran.out.contains("Description: About it."), "{}", ran.out);
    assert!(ran.err.contains("line 9"), "{}", ran.err);
    home.write("bad.yaml", "Collections:\n- Name: X\n  Citation: '@misc{k, title = {x}'\nModels:\n- Name: m\n  In Collection: X\n");
    let ran = home.run(&["cite", "m", "--registry", "bad.yaml"]);
    assert!(ran.code == Some(3) && ran.err.contains("has no end"), "{ran:?}");
}
