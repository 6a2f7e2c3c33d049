//! What a file's header says of its components, and whether its pixels are made here: files of the kinds that cameras,
//! the web and data sets are full of. Everything else is the library's.

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    /// One component.
    Grey,
    /// Luma and two of chroma.
    Ycc,
    /// Anything else.
    Other,
}

/// One component of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    /// Sampling factors, across and down.
    pub(super) factors: (usize, usize),
    /// Blocks in a row and in a column.
    pub(super) blocks: (usize, usize),
}

/// A file's header.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) colours: Colours,
    /// Whether each coefficient comes whole, in one scan, Huffman coded.
    pub(super) is_sequential: bool,
    pub(super) components: Vec<Component>,
}

/// How the samples of a file lie that is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Whether there is chroma.
    pub(super) is_coloured: bool,
    /// Whether chroma has half the columns.
    pub(super) is_across: bool,
    /// Whether chroma has half the rows.
    pub(super) is_down: bool,
}

/// Bytes of coefficients above which a file is the library's, which goes from row to row in little memory.
const MAX_SAMPLES: usize = 1 << 28;

impl Layout {
    /// Of a file that is done here.
    pub(super) fn of(frame: &Frame) -> Option<Layout> {
        let bytes: usize = frame.components.iter().map(|c| 128 * c.blocks.0 * c.blocks.1).sum();
        if !frame.is_sequential || bytes > MAX_SAMPLES {
            return None;
        }
        let (width, height) = (frame.width, frame.height);
        let (is_coloured, is_across, is_down) = match (frame.colours, frame.components.as_slice()) {
            // Whatever its factors are, they are the largest.
            (Colours::Grey, [_]) => (false, false, false),
            (Colours::Ycc, [luma, blue, red]) if blue.factors == red.factors => {
                let is_across = match (luma.factors.0, blue.factors.0) {
                    (luma, chroma) if luma == chroma => false,
                    // libjpeg repeats the samples of narrower pictures.
                    (luma, chroma) if luma == 2 * chroma && width.div_ceil(2) > 2 => true,
                    _ => return None,
                };
                let is_down = match (luma.factors.1, blue.factors.1) {
                    (luma, chroma) if luma == chroma => false,
                    (2, 1) => true,
                    _ => return None,
                };
                (true, is_across, is_down)
            }
            _ => return None,
        };
        Some(Layout { width, height, is_coloured, is_across, is_down })
    }

    /// Columns and rows of samples that chroma has.
    pub(super) fn chroma(&self) -> (usize, usize) {
        let half = |n: usize, is_half| if is_half { n.div_ceil(2) } else { n };
        (half(self.width, self.is_across), half(self.height, self.is_down))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(width: usize, colours: Colours, factors: &[(usize, usize)]) -> Option<(bool, bool)> {
        let components = factors.iter().map(|&factors| Component { factors, blocks: (4, 4) }).collect();
        let frame = Frame { width, height: 20, colours, is_sequential: true, components };
        Layout::of(&frame).map(|l| (l.is_across, l.is_down))
    }

    #[test]
    fn which_files_are_done_here() {
        use Colours::*;
        assert_eq!(layout(20, Grey, &[(1, 1)]), Some((false, false)));
        assert_eq!(layout(20, Grey, &[(2, 2)]), Some((false, false)));
        assert_eq!(layout(20, Ycc, &[(1, 1); 3]), Some((false, false)));
        assert_eq!(layout(20, Ycc, &[(2, 1), (1, 1), (1, 1)]), Some((true, false)));
        assert_eq!(layout(20, Ycc, &[(2, 2), (1, 2), (1, 2)]), Some((true, false)));
        assert_eq!(layout(20, Ycc, &[(1, 2), (1, 1), (1, 1)]), Some((false, true)));
        assert_eq!(layout(20, Ycc, &[(2, 2), (1, 1), (1, 1)]), Some((true, true)));
        assert_eq!(layout(5, Ycc, &[(2, 2), (1, 1), (1, 1)]), Some((true, true)));
        assert_eq!(layout(4, Ycc, &[(2, 2), (1, 1), (1, 1)]), None);
        assert_eq!(layout(4, Ycc, &[(1, 2), (1, 1), (1, 1)]), Some((false, true)));
        assert_eq!(layout(20, Ycc, &[(4, 1), (1, 1), (1, 1)]), None);
        assert_eq!(layout(20, Ycc, &[(1, 4), (1, 2), (1, 2)]), None);
        assert_eq!(layout(20, Ycc, &[(2, 2), (1, 1), (2, 2)]), None);
        assert_eq!(layout(20, Ycc, &[(1, 1), (2, 2), (2, 2)]), None);
        assert_eq!(layout(20, Other, &[(1, 1); 3]), None);
    }

    #[test]
    fn what_is_progressive_or_very_large_is_the_librarys() {
        let component = Component { factors: (1, 1), blocks: (1450, 1450) };
        let frame = |is_sequential, n| Frame {
            width: 11600,
            height: 11600,
            colours: Colours::Grey,
            is_sequential,
            components: vec![Component { blocks: (n, 1450), ..component }],
        };
        assert!(Layout::of(&frame(true, 1446)).is_some());
        assert!(Layout::of(&frame(false, 1446)).is_none());
        assert!(Layout::of(&frame(true, 1450)).is_none());
    }
}
