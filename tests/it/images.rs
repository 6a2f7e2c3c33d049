//! Pictures against timm: the pixels that Pillow decodes, those left after timm's resize and crop, and the
//! float32 tensors, all bit for bit (`tests/oracle/images.py` drew and recorded them).

use std::path::{Path, PathBuf};

use serde_json::Value;
use zoo::image::{self, Error, Preprocess, Rgb};
use zoo::registry::{CropMode, ImageSize};
use zoo::{Class, Classify, Sha256};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images")
}

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("golden.json")).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn three(value: &Value) -> [f32; 3] {
    let numbers = value.as_array().unwrap();
    // As the registry reads them: the shortest decimal, straight to float32.
    std::array::from_fn(|i| numbers[i].to_string().parse().unwrap())
}

fn preset(value: &Value) -> Preprocess {
    let side = |i: usize| value["input_size"][i].as_u64().unwrap() as usize;
    Preprocess {
        size: ImageSize { height: side(1), width: side(2) },
        crop_pct: value["crop_pct"].as_f64().unwrap(),
        crop_mode: match text(&value["crop_mode"]) {
            "center" => CropMode::Center,
            "squash" => CropMode::Squash,
            "border" => CropMode::Border,
            other => panic!("{other}"),
        },
        interpolation: text(&value["interpolation"]).parse().unwrap(),
        mean: three(&value["mean"]),
        std: three(&value["std"]),
    }
}

fn bytes_of(tensor: &[f32]) -> Vec<u8> {
    tensor.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// What differs between zoo and the record, in words.
fn differences(picture: &Value, presets: &Value) -> Vec<String> {
    let name = text(&picture["file"]);
    let bytes = std::fs::read(folder().join(name)).unwrap();
    assert_eq!(Sha256::of(&bytes).to_string(), text(&picture["sha256"]), "{name} is not the oracle's");
    let image = match image::decode(&bytes) {
        Ok(image) => image,
        Err(e) => return vec![format!("{name}: {e}")],
    };
    let mut wrong = Vec::new();
    let mut compare = |what: &str, found: String, expected: &str| {
        if found != expected {
            wrong.push(format!("{name}: {what}"));
        }
    };
    compare("size", format!("{}×{}", image.width(), image.height()), &{
        format!("{}×{}", picture["width"], picture["height"])
    });
    compare("decoded", Sha256::of(image.pixels()).to_string(), text(&picture["rgb"]));
    for (key, expected) in picture["presets"].as_object().unwrap() {
        let preprocess = preset(&presets[key]);
        match (expected.get("error"), preprocess.tensor(&image)) {
            (Some(_), Err(Error::Vanishes { .. })) => {}
            (None, Ok(tensor)) => {
                let pixels = preprocess.pixels(&image).unwrap();
                let found = Sha256::of(pixels.pixels()).to_string();
                compare(&format!("{key}: pixels"), found, text(&expected["pixels"]));
                let bytes = bytes_of(&tensor);
                compare(&format!("{key}: tensor"), Sha256::of(&bytes).to_string(), text(&expected["tensor"]));
                if let Some(bits) = expected.get("bits") {
                    let found = bytes.iter().map(|b| format!("{b:02x}")).collect();
                    compare(&format!("{key}: bits"), found, text(bits));
                }
            }
            (expected, found) => compare(&format!("{key}: {expected:?}, {found:?}"), String::new(), "-"),
        }
    }
    wrong
}

#[test]
fn pixels_and_tensors_are_those_of_timm() {
    let golden = golden();
    let pictures = golden["pictures"].as_array().unwrap();
    assert!(pictures.len() > 50);
    let wrong: Vec<_> = pictures.iter().flat_map(|p| differences(p, &golden["presets"])).collect();
    assert!(wrong.is_empty(), "differs from Pillow or timm:\n{}", wrong.join("\n"));
}

/// A file cut short is refused where Pillow refuses it, and where Pillow still reads it (only the end marker
/// is missing) the pixels are the same. Of a PNG zoo also wants the last checksum and the end chunk.
#[test]
fn files_cut_short_are_refused_where_pillow_refuses_them() {
    let mut wrong = Vec::new();
    for (name, cuts) in golden()["cuts"].as_object().unwrap() {
        let bytes = std::fs::read(folder().join(name)).unwrap();
        for cut in cuts.as_array().unwrap() {
            let length = cut[0].as_u64().unwrap() as usize;
            let found = image::decode(&bytes[..length]);
            let hash = found.as_ref().ok().map(|i| Sha256::of(i.pixels()).to_string());
            let stricter = name.ends_with(".png") && hash.is_none() && bytes.len() - length <= 20;
            if hash.as_deref() != cut[1].as_str() && !stricter {
                let found = found.map(|_| hash).map_err(|e| e.to_string());
                wrong.push(format!(
                    "{name} cut to {length} of {}: {found:?}, Pillow {}",
                    bytes.len(),
                    cut[1]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Kinds whose pixels could not be promised are refused, and the message says which kind it is.
#[test]
fn kinds_that_may_differ_from_pillow_are_refused_by_name() {
    let mut lines = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    files.sort();
    for name in files.iter().map(|n| n.to_str().unwrap()).filter(|n| n.starts_with("x-")) {
        // Refused once: `tests/golden/pixels` has their kinds.
        if matches!(name, "x-part.gif" | "x-rgba.bmp") {
            image::decode(&std::fs::read(folder().join(name)).unwrap()).unwrap();
            continue;
        }
        let error = image::decode(&std::fs::read(folder().join(name)).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{name}: {error}");
        lines.push(format!("{name}: {error}"));
    }
    let expected = [
        "x-animated.webp: WebP with animation is not supported",
        "x-cmyk.tiff: TIFF with samples Cmyk8 is not supported",
        "x-rgba.tiff: TIFF with samples Rgba8 is not supported",
        "x-turned.tiff: TIFF with an orientation is not supported",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_unreadable_image_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(folder().join("photo.jpg")).unwrap();
    let say = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = image::open(&path).unwrap_err();
        assert_eq!(error.class(), Class::BadInput);
        let text = error.to_string().replace(path.to_str().unwrap(), name);
        assert!(text.contains(name), "{text}");
        text
    };
    let lines = [
        say("half.jpg", &bytes[..bytes.len() / 2]),
        say("page.jpg", b"<!DOCTYPE html>"),
        say("empty.jpg", b""),
        say("header.jpg", &bytes[..20]),
    ];
    let expected = [
        "image `half.jpg`: JPEG data is truncated: it ends before row 190 of 375",
        "image `page.jpg`: not an image that zoo reads: it begins with `3c21444f43545950`",
        "image `empty.jpg`: the file is empty",
        "image `header.jpg`: JPEG data is truncated: it ends in its header",
    ];
    assert_eq!(lines, expected);
    let missing = image::open(&dir.path().join("none.jpg")).unwrap_err();
    assert_eq!(missing.class(), Class::BadInput);
    assert!(missing.to_string().contains("none.jpg"));
}

/// Broken data of any kind is an error or an image, never a panic, a crash or a hang.
#[test]
fn damaged_files_do_no_harm() {
    for name in ["420-q10.jpg", "progressive-420.jpg", "ycck.jpg", "restarts.jpg", "rgb.png", "palette4.png"]
    {
        let bytes = std::fs::read(folder().join(name)).unwrap();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..300 {
            let mut damaged = bytes.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = (state >> 33) as usize % damaged.len();
                damaged[at] = (state >> 20) as u8;
            }
            // Sizes may have grown: keep the test quick.
            if let Ok(image) = image::decode(&damaged) {
                assert_eq!(image.pixels().len(), 3 * image.width() * image.height());
            }
        }
    }
}

#[test]
fn a_header_that_promises_too_much_is_refused_before_allocating() {
    let mut bytes = std::fs::read(folder().join("photo.jpg")).unwrap();
    let at = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap() + 5;
    // The largest that libjpeg takes for a size at all.
    bytes[at..at + 4].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    assert!(matches!(image::decode(&bytes), Err(Error::TooLarge { width: 65500, height: 65500 })));
    let mut bytes = std::fs::read(folder().join("rgb.png")).unwrap();
    bytes[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    // The checksum of the header no longer holds, which is as good a reason.
    assert!(image::decode(&bytes).is_err());
}

#[test]
fn extreme_shapes_cost_what_the_crop_costs() {
    let line = Rgb::new(1 << 20, 1, vec![7; 3 << 20]).unwrap();
    let preprocess = Preprocess {
        size: ImageSize { height: 224, width: 224 },
        crop_pct: 0.875,
        crop_mode: CropMode::Center,
        interpolation: zoo::registry::Interpolation::Bicubic,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    // Resized whole it would have 256 × 268,435,456 pixels.
    let pixels = preprocess.pixels(&line).unwrap();
    assert!(pixels.pixels().iter().all(|&p| p == 7));
}

/// Kinds that are rare, and coefficients that no encoder writes (`tests/oracle/pixels.py`): Pillow's pixels, or a refusal;
/// and nothing is read that Pillow refuses.
#[test]
fn rare_and_damaged_pictures_have_pillows_pixels_or_are_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pixels");
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
    let (mut wrong, mut equal) = (Vec::new(), 0);
    for picture in golden["pictures"].as_array().unwrap() {
        let name = picture["file"].as_str().unwrap();
        let decoded = image::decode(&std::fs::read(folder.join(name)).unwrap());
        match (decoded, picture["rgb"].as_str()) {
            (Ok(_), None) => wrong.push(format!("{name}: read, and Pillow refuses it")),
            (Ok(image), Some(rgb)) => {
                let size = (image.width() as u64, image.height() as u64);
                let expected = (picture["width"].as_u64().unwrap(), picture["height"].as_u64().unwrap());
                if size != expected || zoo::Sha256::of(image.pixels()).to_string() != rgb {
                    wrong.push(format!("{name}: other pixels, {size:?}"));
                }
                equal += 1;
            }
            (Err(error), _) if picture["must"] == true => wrong.push(format!("{name}: {error}")),
            (Err(error), _) => assert_eq!(error.class(), Class::BadInput, "{name}"),
        }
    }
    assert!(wrong.is_empty(), "{equal} are equal, but\n{}", wrong.join("\n"));
    let reason =
        |name: &str| image::decode(&std::fs::read(folder.join(name)).unwrap()).unwrap_err().to_string();
    assert!(reason("jpeg.tif").contains("JPEG compression"));
    assert!(reason("bad-idat-crc.png").to_lowercase().contains("crc"), "{}", reason("bad-idat-crc.png"));
    assert!(reason("animated.webp").contains("animation"));
    assert!(reason("jpeg2000.jp2").contains("JPEG 2000") && reason("avif.avif").contains("AVIF"));
}
