//! Tars as people have them: packed, with links, of several splits.

use super::*;

#[test]
fn packed_tars_are_unpacked_and_said_to_be() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&golden("folders.tar")).unwrap();
    let packed = gzip.finish().unwrap();
    for name in ["val.tar.gz", "val.tgz", "val.tar"] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join(name), &packed);
        for place in [dir.path().to_owned(), dir.path().join(name)] {
            assert_same(&place, "class folders in a tar");
            let notes = open(&place).unwrap().notes.join("\n");
            assert!(notes.contains(name) && notes.contains("unpacked"), "{notes}");
        }
        write(&dir.path().join(name), &packed[..packed.len() / 2]);
        let text = open(dir.path()).unwrap_err().to_string();
        assert!(text.contains("damaged or cut short") && text.contains(name), "{text}");
    }
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("val.tar.xz"), b"\xfd7zXZ\0 and so on");
    let text = open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("xz") && text.contains("unpack it first"), "{text}");
}

#[test]
fn links_in_tars_are_followed() {
    let mut builder = ::tar::Builder::new(Vec::new());
    let add = |builder: &mut ::tar::Builder<Vec<u8>>, path: &str, to: Option<(&str, ::tar::EntryType)>| {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(if to.is_some() { 0 } else { 4 });
        if let Some((target, kind)) = to {
            header.set_entry_type(kind);
            return builder.append_link(&mut header, path, target).unwrap();
        }
        builder.append_data(&mut header, path, &b"data"[..]).unwrap();
    };
    use ::tar::EntryType::{Link, Symlink};
    add(&mut builder, "n01440764/a.jpg", None);
    add(&mut builder, "n01443537/b.jpg", Some(("n01440764/a.jpg", Link)));
    add(&mut builder, "n01484850/c.jpg", Some(("../n01443537/b.jpg", Symlink)));
    add(&mut builder, "n01491361/d.jpg", Some(("gone.jpg", Symlink)));
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("all.tar"), &builder.into_inner().unwrap());
    let dataset = open(dir.path()).unwrap();
    assert_eq!(labels(&dataset).len(), 4);
    for item in &dataset.items[..3] {
        assert_eq!(dataset.bytes(item).unwrap(), b"data", "{}", item.path);
    }
    let error = dataset.bytes(&dataset.items[3]).unwrap_err();
    assert!(error.is_of_one_image() && error.to_string().contains("gone.jpg"), "{error}");
}

#[test]
fn only_validation_images_are_taken_of_a_tar_of_several_splits() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("imagenette/train/n01440764/a.jpg", &b"x"[..]), ("imagenette/val/n01440764/b.jpg", b"y")];
    write(&dir.path().join("imagenette.tar"), &tar_of(&files));
    let dataset = open(dir.path()).unwrap();
    assert_eq!(labels(&dataset), [("n01440764/b", &[0][..])]);
    assert!(dataset.notes.join("").contains("1 images of other splits"), "{:?}", dataset.notes);
}
