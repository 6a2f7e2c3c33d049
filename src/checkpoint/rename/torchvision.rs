//! torchvision's names of MobileNetV3 and RegNet, and timm's. ResNet and DenseNet have the same names in both
//! (but for DenseNet's old files, which `arch` knows). torchvision numbers the layers of MobileNetV3 in the order
//! they are in, timm names them: which number is which is read from timm's own names, so that no variant is
//! listed here.

/// The architectures that timm took from torchvision with their tensors' names.
const SAME_NAMES: &[&str] = &[
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
];

/// Whether the tensors of an architecture, by its timm name, have the same names in torchvision.
pub fn is_named_as_in_torchvision(arch: &str) -> bool {
    SAME_NAMES.contains(&arch)
}

/// Pairs of torchvision's name and timm's, for every tensor of a network with these names; `None` where it is
/// of neither family.
pub fn torchvision<'a>(timm: impl IntoIterator<Item = &'a str>) -> Option<Vec<(String, String)>> {
    let names: Vec<&str> = timm.into_iter().collect();
    if names.contains(&"s1.b1.conv1.conv.weight") && names.contains(&"head.fc.weight") {
        return names.iter().map(|name| Some((regnet(name)?, (*name).to_owned()))).collect();
    }
    // The head after the pooling, and the squeeze-and-excite of the whole family, tell it from MobileNetV2.
    if !names.contains(&"conv_head.bias") || !names.iter().any(|n| n.contains(".se.conv_reduce.")) {
        return None;
    }
    let mut blocks: Vec<(u32, u32)> = names.iter().filter_map(|n| block(n)).map(|(at, _)| at).collect();
    blocks.sort_unstable();
    blocks.dedup();
    let pair = |name: &&str| Some((theirs(name, &names, &blocks)?, (*name).to_owned()));
    names.iter().map(pair).collect()
}

/// `s2.b3.conv1.bn.bias` is `trunk_output.block2.block2-2.f.a.1.bias` there.
fn regnet(name: &str) -> Option<String> {
    let (path, leaf) = name.rsplit_once('.')?;
    let outer = match path {
        "stem.conv" => Some("stem.0"),
        "stem.bn" => Some("stem.1"),
        "head.fc" => Some("fc"),
        _ => None,
    };
    if let Some(outer) = outer {
        return Some(format!("{outer}.{leaf}"));
    }
    let (stage, rest) = path.strip_prefix('s')?.split_once(".b")?;
    let (block, part) = rest.split_once('.')?;
    let before = block.parse::<u32>().ok()?.checked_sub(1)?;
    let part = match part {
        "conv1.conv" => "f.a.0",
        "conv1.bn" => "f.a.1",
        "conv2.conv" => "f.b.0",
        "conv2.bn" => "f.b.1",
        "se.fc1" => "f.se.fc1",
        "se.fc2" => "f.se.fc2",
        "conv3.conv" => "f.c.0",
        "conv3.bn" => "f.c.1",
        "downsample.conv" => "proj.0",
        "downsample.bn" => "proj.1",
        _ => return None,
    };
    Some(format!("trunk_output.block{stage}.block{stage}-{before}.{part}.{leaf}"))
}

/// `blocks.2.1.conv_pw.weight`: the block's place, and the rest.
fn block(name: &str) -> Option<((u32, u32), &str)> {
    let (stage, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
    let (repeat, rest) = rest.split_once('.')?;
    Some(((stage.parse().ok()?, repeat.parse().ok()?), rest))
}

fn theirs(name: &str, names: &[&str], blocks: &[(u32, u32)]) -> Option<String> {
    let Some((place, rest)) = block(name) else {
        let (layer, leaf) = name.split_once('.')?;
        let layer = match layer {
            "conv_stem" => "features.0.0",
            "bn1" => "features.0.1",
            "conv_head" => "classifier.0",
            "classifier" => "classifier.3",
            _ => return None,
        };
        return Some(format!("{layer}.{leaf}"));
    };
    // The stem is number 0, and the last block (a plain convolution) is a layer like the stem.
    let number = blocks.iter().position(|&b| b == place)? + 1;
    let has = |part: &str| {
        let prefix = format!("blocks.{}.{}.{part}.", place.0, place.1);
        names.iter().any(|n| n.starts_with(&prefix))
    };
    let (part, leaf) = rest.rsplit_once('.')?;
    if has("conv") {
        let index = match part {
            "conv" => 0,
            "bn1" => 1,
            _ => return None,
        };
        return Some(format!("features.{number}.{index}.{leaf}"));
    }
    // expansion, depthwise, squeeze-and-excite, projection: each where the block has it.
    let expands = has("conv_pwl");
    let depthwise = usize::from(expands);
    let squeeze = depthwise + 1;
    let project = squeeze + usize::from(has("se"));
    let (layer, inner) = match (part, expands) {
        ("conv_pw", true) => (0, "0"),
        ("bn1", true) => (0, "1"),
        ("conv_dw", _) => (depthwise, "0"),
        ("bn2", true) | ("bn1", false) => (depthwise, "1"),
        ("se.conv_reduce", _) => (squeeze, "fc1"),
        ("se.conv_expand", _) => (squeeze, "fc2"),
        ("conv_pwl", true) | ("conv_pw", false) => (project, "0"),
        ("bn3", true) | ("bn2", false) => (project, "1"),
        _ => return None,
    };
    Some(format!("features.{number}.block.{layer}.{inner}.{leaf}"))
}
