//! Grouped convolutions against their definition: every width of a group, left-over groups, any window.

use proptest::prelude::*;

use super::super::grouped::{FillRows, Grouped, GroupedShape};
use super::super::groups::Groups;
use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn grouped_conv_matches_reference(
        g in geometry(), count in 1usize..7, inputs in 1usize..34, outputs in 1usize..42, square in 0usize..4,
        act in activation(), cut in 0usize..12, seed in 0u64..99,
    ) {
        // Most groups have as many outputs as inputs, and networks' widths above all.
        let [inputs, outputs] = match square {
            0 => [inputs, outputs],
            1 => [outputs; 2],
            _ => [[4, 8, 16, 24][inputs % 4]; 2],
        };
        for isa in Isa::available() {
            let groups = Groups { count, inputs, outputs };
            let shape = GroupedShape::new(groups, g.taps, g.input, g.output, isa);
            let map = FeatureMap::new(seed, g.input, count * inputs, isa);
            let taps = g.taps.count();
            let weight = |o: usize, i: usize, [row, column]: [usize; 2]| {
                number(seed + 2, (o * inputs + i) * taps + row * g.taps.kernel[1] + column)
            };
            let (bias, lanes) = (numbers(seed + 3, count * outputs), isa.lanes());
            let pitch = (count * outputs).next_multiple_of(lanes);
            let mut out = vec![f32::NAN; g.output[0] * g.output[1] * pitch];
            let mut scratch = vec![f32::NAN; shape.scratch(lanes)];
            let (output, scratch) = (Dst::new(&mut out), Dst::new(&mut scratch));
            let lens = groups.packed_len(taps, lanes);
            let mut packed = [0; 2];
            for bundle in (0..groups.bundles(lanes)).map(|index| groups.bundle(index, lanes)) {
                let (mut weights, mut bias_packed) = (Vec::new(), Vec::new());
                groups.pack(&bundle, g.taps.kernel, isa, &mut weights, weight);
                groups.pack_bias(&bundle, isa, &mut bias_packed, |o| bias[o]);
                packed = [packed[0] + weights.len(), packed[1] + bias_packed.len()];
                let width = bundle.blocks * lanes;
                scratch.part(0, shape.ring.len(width)).zero();
                // Two parts of the rows, each band after band.
                let cut = cut % (g.output[0] + 1);
                for rows in [0..cut, cut..g.output[0]] {
                    let mut made = 0;
                    for first in rows.clone().step_by(shape.ring.band) {
                        let band = first..rows.end.min(first + shape.ring.band);
                        let needs = shape.ring.needs(&band);
                        for (slot, row, rows) in shape.ring.runs(needs.start.max(made)..needs.end) {
                            let Some(row) = row else {
                                shape.ring.blank(scratch, width, slot, rows);
                                continue;
                            };
                            let map_part = Src::new(&map.values[bundle.first * inputs..]);
                            let run = (slot, row, rows);
                            isa.run(FillRows { shape, bundle, map: map_part, pitch: map.pitch, ring: scratch, run });
                        }
                        made = needs.end;
                        isa.run(Grouped {
                            shape,
                            bundle,
                            rows: [band.start, band.end],
                            ring: scratch.read(),
                            weights: Src::new(&weights),
                            bias: Src::new(&bias_packed),
                            output: output.from(bundle.first * outputs),
                            output_pitch: pitch,
                            activation: act,
                        });
                    }
                }
            }
            prop_assert_eq!(packed, lens);
            for (pixel, values) in out.chunks(pitch).enumerate() {
                let (y, x) = (pixel / g.output[1], pixel % g.output[1]);
                for (o, found) in values.iter().take(count * outputs).enumerate() {
                    let mut sum = f64::from(bias[o]);
                    for tap in 0..taps {
                        let at = [tap / g.taps.kernel[1], tap % g.taps.kernel[1]];
                        let (iy, ix) = under(&g.taps, y, x, at[0], at[1]);
                        for i in 0..inputs {
                            sum += map.at(iy, ix, o / outputs * inputs + i) * f64::from(weight(o, i, at));
                        }
                    }
                    close(isa, "grouped conv", *found, apply(act, sum), inputs * taps);
                }
            }
        }
    }
}
