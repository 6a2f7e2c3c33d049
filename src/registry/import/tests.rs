//! What import may read, and what not. That it takes any bytes is `tests/it/fuzz_pages.rs`.

use super::*;

#[test]
fn files_outside_the_folder_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let write =
        |name: &str, text: &str| crate::fs::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
    crate::fs::create_dir_all(&dir.path().join("in")).unwrap();
    write("secret.yml", "Name: secret\nCode: c\n");
    crate::fs::symlink(Path::new("../secret.yml"), &dir.path().join("in/link.yml")).unwrap();
    let absolute = dir.path().join("secret.yml").display().to_string();
    for reference in ["../secret.yml", "link.yml", &absolute, "../*.yml", "x/../../secret.yml"] {
        write("in/i.yml", &format!("Import: ['{reference}']\nModels: [{{Name: a, Code: c}}]\n"));
        let index = read(&dir.path().join("in/i.yml")).unwrap();
        assert_eq!(index.models.len(), 1, "{reference}");
        assert!(!index.problems.is_empty(), "{reference}");
    }
    // A cycle is named, and ends.
    write("in/a.yml", "Import: b.yml\nModels: [{Name: a, Code: c}]\n");
    write("in/b.yml", "Import: a.yml\nModels: [{Name: b, Code: c}]\n");
    let index = read(&dir.path().join("in/a.yml")).unwrap();
    let reported: Vec<_> = index.problems.iter().map(ToString::to_string).collect();
    assert!(reported.iter().any(|t| t.contains("a.yml") && t.contains("b.yml")), "{reported:?}");
}
