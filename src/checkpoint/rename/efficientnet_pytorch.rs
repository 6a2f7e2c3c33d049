//! From the names of the `efficientnet_pytorch` package to timm's, for every EfficientNet and lite variant.
//! The package counts blocks through, timm by stage and repeat: which is which is read from the target's own
//! names, so that no architecture is listed here.

use super::Error;

/// Pairs of old and new name. `source` are the file's names, `target` the state-dict names of the network
/// they are for.
///
/// # Errors
/// A name that is not of the scheme, or a block that the target does not have.
pub fn efficientnet_pytorch<'a>(
    source: impl IntoIterator<Item = &'a str>,
    target: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<(String, String)>, Error> {
    let blocks = Block::list(target);
    source.into_iter().map(|name| Ok((name.to_owned(), renamed(name, &blocks)?))).collect()
}

/// Whether names are of this scheme.
pub fn is_efficientnet_pytorch<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|name| name.starts_with("_blocks.0._depthwise_conv"))
}

/// A block of the target, in order.
#[derive(Debug)]
struct Block {
    /// `blocks.2.0`.
    path: String,
    /// Whether a pointwise expansion comes first (timm's inverted residual); the first blocks have none.
    expands: bool,
}

impl Block {
    fn list<'a>(target: impl IntoIterator<Item = &'a str>) -> Vec<Block> {
        let mut found = std::collections::BTreeMap::new();
        for name in target {
            let mut parts = name.split('.');
            let (Some("blocks"), Some(stage), Some(repeat), Some(part)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let (Ok(stage), Ok(repeat)) = (stage.parse::<u32>(), repeat.parse::<u32>()) else { continue };
            *found.entry((stage, repeat)).or_insert(false) |= part == "conv_pwl";
        }
        let block = |((stage, repeat), expands)| Block { path: format!("blocks.{stage}.{repeat}"), expands };
        found.into_iter().map(block).collect()
    }
}

fn renamed(name: &str, blocks: &[Block]) -> Result<String, Error> {
    let strange = |problem: String| Error { scheme: "efficientnet_pytorch", problem };
    let unknown = || strange(format!("`{name}` is not one of them"));
    let (head, rest) = name.split_once('.').ok_or_else(unknown)?;
    let outer = match head {
        "_conv_stem" => "conv_stem",
        "_bn0" => "bn1",
        "_conv_head" => "conv_head",
        "_bn1" => "bn2",
        "_fc" => "classifier",
        "_blocks" => {
            let (index, rest) = rest.split_once('.').ok_or_else(unknown)?;
            let (part, leaf) = rest.split_once('.').ok_or_else(unknown)?;
            let index: usize = index.parse().map_err(|_| unknown())?;
            let block = blocks.get(index).ok_or_else(|| {
                strange(format!("`{name}` is of block {index}, and the architecture has {}", blocks.len()))
            })?;
            let part = match (part, block.expands) {
                ("_expand_conv", true) => "conv_pw",
                ("_bn0", true) => "bn1",
                ("_depthwise_conv", _) => "conv_dw",
                ("_bn1", true) => "bn2",
                ("_bn1", false) => "bn1",
                ("_se_reduce", _) => "se.conv_reduce",
                ("_se_expand", _) => "se.conv_expand",
                ("_project_conv", true) => "conv_pwl",
                ("_project_conv", false) => "conv_pw",
                ("_bn2", true) => "bn3",
                ("_bn2", false) => "bn2",
                _ => return Err(unknown()),
            };
            return Ok(format!("{}.{part}.{leaf}", block.path));
        }
        _ => return Err(unknown()),
    };
    Ok(format!("{outer}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_by_the_targets_own_names() {
        let target =
            ["blocks.0.0.conv_dw.weight", "blocks.1.0.conv_pwl.weight", "blocks.1.1.conv_pwl.weight"];
        let source =
            ["_blocks.0._bn1.bias", "_blocks.2._bn1.bias", "_blocks.1._expand_conv.weight", "_fc.bias"];
        let pairs = efficientnet_pytorch(source, target).unwrap();
        let new: Vec<_> = pairs.iter().map(|(_, new)| new.as_str()).collect();
        assert_eq!(
            new,
            ["blocks.0.0.bn1.bias", "blocks.1.1.bn2.bias", "blocks.1.0.conv_pw.weight", "classifier.bias"]
        );
        assert!(
            efficientnet_pytorch(["_blocks.3._bn1.bias"], target).unwrap_err().problem.contains("block 3")
        );
        assert!(efficientnet_pytorch(["fc.weight"], target).is_err());
        assert!(is_efficientnet_pytorch(
            ["_conv_stem.weight", "_blocks.0._depthwise_conv.weight"].into_iter()
        ));
    }
}
