//! The tiles that convolutions are cut into, and which one a layer gets. It only decides how fast a layer is: the bits are
//! the same with every tile.

/// A tile of output pixels by output channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) threads: u32,
    /// Kernels for any window, for one pixel, and for that behind a gate.
    kernels: [&'static str; 3],
    /// How much of a multiprocessor's speed it has, beside the largest.
    speed: f64,
}

/// What kind of window a kernel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Any,
    Point,
    Gate,
}

macro_rules! tiles {
    ($($size:literal: $rows:literal x $columns:literal, $threads:literal threads, speed $speed:literal;)*) => {
        /// Every tile.
        pub(super) const TILES: &[Tile] = &[$(Tile {
            rows: $rows,
            columns: $columns,
            threads: $threads,
            kernels: [concat!("conv_", $size, "_any"), concat!("conv_", $size, "_point"), concat!("conv_", $size, "_gate")],
            speed: $speed,
        }),*];
    };
}

// The speeds are those of an H100, measured on layers that fill it.
tiles! {
    "128x128": 128 x 128, 256 threads, speed 1.0;
    "128x96": 128 x 96, 128 threads, speed 0.8;
    "128x64": 128 x 64, 128 threads, speed 0.95;
    "128x32": 128 x 32, 128 threads, speed 0.75;
    "64x64": 64 x 64, 64 threads, speed 0.8;
    "64x32": 64 x 32, 64 threads, speed 0.7;
}

const LARGEST: Tile = TILES[0];

impl Tile {
    pub(super) fn kernel(&self, form: Form) -> &'static str {
        let [any, point, gate] = self.kernels;
        match form {
            Form::Any => any,
            Form::Point => point,
            Form::Gate => gate,
        }
    }

    /// The tile with which the busiest of `processors` has the least to do.
    pub(super) fn for_layer(rows: usize, columns: usize, blocks: usize, processors: usize) -> Tile {
        let cost = |tile: &Tile| {
            let tiles = rows.div_ceil(tile.rows) * columns.div_ceil(tile.columns) * blocks;
            tiles.div_ceil(processors.max(1)) as f64 * (tile.rows * tile.columns) as f64 / tile.speed
        };
        let mut best = LARGEST;
        for tile in TILES {
            if cost(tile) < cost(&best) * 0.999 {
                best = *tile;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_and_small_layers_get_small_tiles() {
        let of = |rows, columns| {
            let tile = Tile::for_layer(rows, columns, 1, 100);
            (tile.rows, tile.columns)
        };
        assert_eq!(of(1 << 20, 512), (128, 128));
        assert_eq!(of(1 << 20, 32), (128, 32));
        assert_eq!(of(1 << 20, 96), (128, 96));
        assert_eq!(of(49, 1000), (64, 32));
    }
}
