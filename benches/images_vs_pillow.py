"""Takes turns with Pillow and timm at preparing JPEGs, on one thread, and prints the ratios.

    cargo bench --bench image --no-run      (add --features nasm for the decoder's own SIMD)
    python benches/images_vs_pillow.py target/release/deps/image-*  [JPEG...]

Each round does every picture with Pillow, then with zoo, a few times each; a ratio is Pillow's time by zoo's in
the same round, and the median over the rounds is quoted. Times are of the processor, not of the clock (Linux),
so that other work on the machine costs both sides only what it takes from the caches. `resize` is everything after decoding: timm's
create_transform (resize, crop, ToTensor, Normalize) to 224 pixels, bicubic, crop 0.875. Needs timm and torch.
"""

import io
import statistics
import subprocess
import sys
import time
from pathlib import Path

import PIL
import torch
from PIL import Image
from timm.data import create_transform

ROUNDS, TURNS = 15, 4
PHOTO = Path(__file__).resolve().parent.parent / "tests" / "golden" / "images" / "photo.jpg"


def main():
    torch.set_num_threads(1)
    program, paths = sys.argv[1], sys.argv[2:] or [str(PHOTO)]
    transform = create_transform(
        (3, 224, 224),
        is_training=False,
        interpolation="bicubic",
        crop_pct=0.875,
    )
    peer = subprocess.Popen([program, "peer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    # The processor time of another process: Linux's `~pid << 3 | CPUCLOCK_SCHED`.
    clock = ~peer.pid << 3 | 2
    data = {path: Path(path).read_bytes() for path in paths}
    pictures = {path: Image.open(io.BytesIO(data[path])).convert("RGB") for path in paths}

    def pillow(what, path):
        start = time.process_time()
        for _ in range(TURNS):
            if what == "resize":
                transform(pictures[path])
                continue
            image = Image.open(io.BytesIO(data[path])).convert("RGB")
            if what == "whole":
                transform(image)
        return time.process_time() - start

    def zoo(what, path):
        start = time.clock_gettime(clock)
        peer.stdin.write(f"{what} {TURNS} {path}\n")
        peer.stdin.flush()
        peer.stdout.readline()
        return time.clock_gettime(clock) - start

    print(f"Pillow {PIL.__version__}, {len(paths)} pictures, {ROUNDS} rounds of {TURNS} turns")
    print("work    Pillow ms  zoo ms  ratio (median of paired)  least  most")
    for what in ["decode", "resize", "whole"]:
        rounds = []
        for _ in range(ROUNDS + 1):
            rounds.append((sum(pillow(what, p) for p in paths), sum(zoo(what, p) for p in paths)))
        rounds = rounds[1:]
        ratios = sorted(p / z for p, z in rounds)
        each = 1000 / TURNS / len(paths)
        theirs, ours = (statistics.median(r[i] for r in rounds) * each for i in (0, 1))
        print(
            f"{what:7} {theirs:9.3f} {ours:7.3f}  {statistics.median(ratios):24.2f}"
            f"  {ratios[0]:5.2f} {ratios[-1]:5.2f}"
        )


main()
