//! `zoo dataset`: what is there, what is remembered, and whether it is the dataset.

use serde_json::Value;

use crate::lite0::golden;
use crate::support::Home;
use crate::verify::Case;

/// The smallest real JPEG there is among the pictures.
fn pixel() -> Vec<u8> {
    std::fs::read(golden("1x1.jpg")).unwrap()
}

fn check(home: &Home, dir: &str, code: i32) -> Value {
    let ran = home.run(&["dataset", "check", "imagenet-val", "--data-dir", dir, "--json"]);
    assert_eq!(ran.code, Some(code), "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn fifty_thousand_pixels_under_the_true_names_are_the_wrong_bytes() {
    let home = Home::new();
    let labels = zoo::registry::labels::imagenet();
    let pixel = pixel();
    for label in labels {
        std::fs::create_dir_all(home.path(&format!("val/{}", label.wnid))).unwrap();
    }
    let first = home.path("first.jpg");
    std::fs::write(&first, &pixel).unwrap();
    for (at, &class) in zoo::registry::labels::validation().iter().enumerate() {
        let name = format!("val/{}/ILSVRC2012_val_{:08}.JPEG", labels[class].wnid, at + 1);
        // Links to one file: fifty thousand names are what matters, not fifty thousand inodes.
        let link = std::fs::hard_link(&first, home.path(&name));
        if link.is_err() {
            std::fs::write(home.path(&name), &pixel).unwrap();
        }
    }
    let all = check(&home, "val", 1);
    assert_eq!(
        (&all["images"], &all["relation"], &all["bytes"]),
        (&50_000.into(), &"census".into(), &"wrong".into())
    );
    for key in ["missing", "extra", "mislabelled"] {
        assert_eq!(all[key]["count"], 0, "{key}");
    }
    let text = home.run(&["dataset", "check", "imagenet-val", "--data-dir", "val"]);
    assert!(text.out.contains("wrong bytes"), "{}", text.out);

    // One image under another class, one missing, one that is not of the set.
    let of = |at: usize| labels[zoo::registry::labels::validation()[at]].wnid;
    let name =
        |class: &str, number: usize| home.path(&format!("val/{class}/ILSVRC2012_val_{number:08}.JPEG"));
    let other = labels.iter().find(|l| l.wnid != of(6)).unwrap().wnid;
    std::fs::rename(name(of(6), 7), name(other, 7)).unwrap();
    std::fs::remove_file(name(of(8), 9)).unwrap();
    std::fs::write(home.path(&format!("val/{}/mine.JPEG", of(0))), &pixel).unwrap();
    let part = check(&home, "val", 1);
    assert_eq!(part["relation"], "given");
    assert_eq!((&part["missing"]["count"], &part["missing"]["first"][0]), (&1.into(), &"00000009".into()));
    assert_eq!(part["extra"]["count"], 1);
    assert!(part["extra"]["first"][0].as_str().unwrap().ends_with("mine.JPEG"));
    assert_eq!(part["mislabelled"]["count"], 1);
    assert!(part["mislabelled"]["first"][0].as_str().unwrap().starts_with("00000007 is "));
}

#[test]
fn a_folder_is_remembered() {
    let home = Home::new();
    home.write("part/n01440764/ILSVRC2012_val_00000293.JPEG", pixel());
    let missing = home.run(&["dataset", "add", "imagenet-val", "no-such"]);
    assert_eq!(missing.code, Some(3), "{}", missing.err);
    assert!(missing.err.contains("no-such"), "{}", missing.err);
    assert_eq!(home.run(&["dataset", "add", "imagenet-val", "part"]).code, Some(0));
    let list = home.run(&["dataset", "list"]);
    assert!(
        list.out.contains("part") && list.out.contains("sample") && list.out.contains("imagenet-a"),
        "{}",
        list.out
    );
    let ran = home.run(&["dataset", "check", "imagenet-val"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("a part of the population of 50000"), "{}", ran.out);
    let show = home.run(&["dataset", "show", "imagenet-a", "--json"]);
    let shown: Value = serde_json::from_str(&show.out).unwrap();
    assert_eq!((&shown["mask"], &shown["relation"]), (&"imagenet-a".into(), &"other".into()));
}

#[test]
fn sets_beside_the_validation_images_have_their_own_labels_and_classes() {
    let home = Home::new();
    // Image 2 is any of two classes by ReaL; image 1 has no label.
    home.write("real/n01440764/ILSVRC2012_val_00000001.JPEG", pixel());
    home.write("real/n01440764/ILSVRC2012_val_00000002.JPEG", pixel());
    let lines = "00000001\t\n00000002\t795,970\n";
    let ran = home.run(&["dataset", "check", "imagenet-real", "--data-dir", "real", "--json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["labels_sha256"], zoo::Sha256::of(lines.as_bytes()).to_string());
    home.write("other/n01440764/x.jpg", pixel());
    let ran = home.run(&["dataset", "check", "imagenet-real", "--data-dir", "other"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.err.contains("x.jpg") && ran.err.contains("ReaL"), "{}", ran.err);
    // A tench is not among ImageNet-A's classes.
    let ran = home.run(&["dataset", "check", "imagenet-a", "--data-dir", "other"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.err.contains("n01440764") && ran.err.contains("not a class of `imagenet-a`"), "{}", ran.err);
}

/// Labels by the ClassLabel of the file itself, and a row without one: one bad image, which `--on-bad-image` decides on.
#[test]
fn a_table_of_hugging_faces_is_measured_by_its_own_names() {
    let case = Case::new();
    let table = |name: &str| {
        std::fs::read(format!("{}/tests/golden/parquet/{name}.parquet", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    case.home.write("names/validation-00000-of-00002.parquet", table("class-label"));
    case.home.write("plain/validation-00000-of-00001.parquet", table("small-ints"));
    let run = |data: &str, report: &str, more: &[&str]| {
        // Whose pictures they are is not what is tested: any accuracy will do.
        let args =
            [&["--data-dir", data, "--tolerance", "100", "--force", "--report", report], more].concat();
        let ran = case.verify(&args);
        (ran.code, ran.err + &ran.out)
    };
    let (code, text) = run("names", "names.json", &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("`validation-00001-of-00002.parquet` is missing"), "{text}");
    assert_eq!(run("plain", "plain.json", &[]).0, Some(0));
    let of = |name: &str| case.json(name)["results"][0].clone();
    for key in ["n", "per_image"] {
        assert_eq!(of("names.json")[key], of("plain.json")[key], "{key}");
    }
    for (name, reason) in
        [("no-label", "label is null"), ("no-bytes", "neither bytes"), ("floats", "label is null")]
    {
        let reason = if name == "no-bytes" { "no bytes" } else { reason };
        case.home.write(&format!("{name}/validation.parquet"), table(name));
        let (code, text) = run(name, "bad.json", &[]);
        assert_eq!(code, Some(3), "{name}: {text}");
        assert!(text.contains(reason) && text.contains("--on-bad-image"), "{name}: {text}");
        for (what, n) in [("wrong", 6), ("skip", 5)] {
            let (code, text) = run(name, "bad.json", &["--on-bad-image", what]);
            assert_eq!(code, Some(0), "{name}: {text}");
            assert!(text.contains(reason), "{name}: {text}");
            let result = of("bad.json");
            assert_eq!((&result["n"], result["skipped"].as_array().unwrap().len()), (&n.into(), 1), "{name}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_one_bad_image_until_it_leads_somewhere() {
    let case = Case::new();
    let link = case.path("val/n01440764/link.jpg");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(case.path("later.jpg"), &link).unwrap();
    let failed = case.verify(&[]);
    assert_eq!(failed.code, Some(3), "{}", failed.err);
    assert!(failed.err.contains("link.jpg"), "{}", failed.err);
    let check = case.home.run(&["dataset", "check", "imagenet-val", "--data-dir", "val", "--json"]);
    let checked: Value = serde_json::from_str(&check.out).unwrap();
    assert_eq!((check.code, &checked["unusable"]["count"]), (Some(1), &1.into()), "{}", check.err);
    let n = || {
        let ran = case.verify(&["--on-bad-image", "skip", "--force", "--report", "r.json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let result = case.json("r.json")["results"][0].clone();
        (result["n"].as_u64().unwrap(), result["skipped"].as_array().unwrap().len())
    };
    assert_eq!(n(), (36, 1));
    std::fs::copy(golden("photo.jpg"), case.path("later.jpg")).unwrap();
    assert_eq!(n(), (37, 0));
}

#[test]
fn folders_that_are_not_those_of_the_numbers_are_told() {
    let case = Case::new();
    let labels = zoo::registry::labels::imagenet();
    for (at, name) in ["photo.jpg", "square.jpg", "grey.jpg"].iter().enumerate() {
        // The next image's class instead of its own.
        let class = labels[zoo::registry::labels::validation()[at + 1]].wnid;
        let path = format!("shifted/{class}/ILSVRC2012_val_{:08}.JPEG", at + 1);
        case.home.write(&path, std::fs::read(golden(name)).unwrap());
    }
    let ran = case.verify(&["--data-dir", "shifted", "--diagnose", "--report", "r.json"]);
    let text = ran.err + &ran.out;
    assert!(
        text.contains("3 of the 3 numbered images") && text.contains("ILSVRC2012_val_00000001"),
        "{text}"
    );
}
