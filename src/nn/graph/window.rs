//! Window geometry, shared by convolutions and pools: kernel, stride, dilation, padding, and the size of the
//! output that follows from them.
//!
//! In: the size of a map. Out: padding in pixels, the output's size. Read by every operation with a window.

/// How a window meets the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Fixed: `[top, bottom, left, right]`.
    Explicit([usize; 4]),
    /// TensorFlow's `SAME`: the output is `ceil(input / stride)`, the odd pixel goes to the bottom and
    /// right (timm's `Conv2dSame`, `timm/layers/padding.py`).
    Same,
}

impl Padding {
    /// The same number of pixels on all four sides.
    pub const fn all(pad: usize) -> Self {
        Padding::Explicit([pad; 4])
    }

    /// torch's 'same for stride 1': `((stride - 1) + dilation * (kernel - 1)) / 2` on every side
    /// (timm's `get_padding`).
    pub const fn symmetric(kernel: usize, stride: usize, dilation: usize) -> Self {
        Padding::all((stride - 1 + dilation * (kernel - 1)) / 2)
    }
}

/// Window geometry shared by convolutions and pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// `[height, width]`.
    pub kernel: [usize; 2],
    /// `[vertical, horizontal]`.
    pub stride: [usize; 2],
    /// `[vertical, horizontal]`.
    pub dilation: [usize; 2],
    /// What lies beyond the border.
    pub padding: Padding,
    /// Pools only: a last partial window counts (torch's `ceil_mode`).
    pub ceil: bool,
}

/// Largest kernel side, stride, dilation or padding of a window: far above any network's, far below overflow.
pub const MAX_WINDOW: usize = 4096;

impl Window {
    /// A square window with dilation 1.
    pub const fn square(kernel: usize, stride: usize, padding: Padding) -> Self {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding, ceil: false }
    }

    /// One pixel, no stride, no border.
    pub const POINT: Window = Window::square(1, 1, Padding::all(0));

    /// Whether an output depends on the one pixel at its place.
    pub fn is_point(&self) -> bool {
        let borderless = matches!(self.padding, Padding::Same | Padding::Explicit([0, 0, 0, 0]));
        self.kernel == [1; 2] && self.stride == [1; 2] && borderless
    }

    /// Pixels of padding `[top, bottom, left, right]` for an input of `[height, width]`.
    pub fn pads(&self, input: [usize; 2]) -> [usize; 4] {
        match self.padding {
            Padding::Explicit(p) => p,
            Padding::Same => {
                let total = |i: usize| {
                    let span = (self.kernel[i] - 1) * self.dilation[i] + 1;
                    let out = input[i].div_ceil(self.stride[i]);
                    (out.saturating_sub(1) * self.stride[i] + span).saturating_sub(input[i])
                };
                let (v, h) = (total(0), total(1));
                [v / 2, v - v / 2, h / 2, h - h / 2]
            }
        }
    }

    /// `[height, width]` of the output; `None` where the window does not fit into the padded input, or with `ceil` is
    /// larger by its stride and more.
    pub fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let pads = self.pads(input);
        let side = |i: usize| {
            let padded = input[i] + pads[2 * i] + pads[2 * i + 1];
            let span = (self.kernel[i] - 1) * self.dilation[i] + 1;
            if !self.ceil {
                return Some(padded.checked_sub(span)? / self.stride[i] + 1);
            }
            // torch: with ceil_mode the last window may hang over, even the only one; but it starts in the left padding
            // or the input, not beyond it.
            let out = (padded + self.stride[i] - 1).checked_sub(span)? / self.stride[i] + 1;
            let beyond = (out - 1) * self.stride[i] >= input[i] + pads[2 * i];
            Some(out - usize::from(beyond)).filter(|&out| out > 0)
        };
        Some([side(0)?, side(1)?])
    }

    /// Why the window is none: a side, stride or dilation of 0, or one beyond [`MAX_WINDOW`].
    pub(super) fn problem(&self) -> Option<String> {
        let sides = [self.kernel, self.stride, self.dilation].concat();
        let pads = match self.padding {
            Padding::Explicit(pads) => pads,
            Padding::Same => [0; 4],
        };
        let fits =
            sides.iter().all(|s| (1..=MAX_WINDOW).contains(s)) && pads.iter().all(|p| *p <= MAX_WINDOW);
        (!fits).then(|| {
            format!(
                "a window of {:?} with stride {:?}, dilation {:?} and padding {:?} is none: sides are 1 to {MAX_WINDOW}",
                self.kernel, self.stride, self.dilation, self.padding
            )
        })
    }
}
