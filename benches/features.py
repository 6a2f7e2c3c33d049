#!/usr/bin/env python3
"""A folder of JPEGs to features: `zoo features` and `zoo verify` on the same pictures, in turns.

    python benches/features.py target/release/zoo [--model efficientnet_lite0_pypi] [--home ZOO_HOME] [--images 300]
        [--turns 8] [--threads 2]

The pictures are made here: 500x375 pixels of smooth noise with edges, 4:2:0, quality 90, in one class folder. Both run the same
weights from the store of ZOO_HOME (fetched before), each time as a process of its own that computes every image; `verify` writes
its record into a home of its own, `features` one vector an image into a `.safetensors`. Which of the two is first changes with the
turn. Figures are of the whole process, from start to exit: both load and pack the same weights. `verify` has its report to make,
`features` its file. A ratio is that within a turn, of the clock and of the processor's time (user and system), which other work on
the machine moves less. Needs numpy and Pillow.
"""
import argparse, json, os, pathlib, resource, statistics, subprocess, tempfile, time

import numpy
from PIL import Image


def pictures(folder, count):
    random = numpy.random.default_rng(0)
    folder.mkdir(parents=True)
    for at in range(count):
        small = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=numpy.uint8))
        pixels = numpy.asarray(small.resize((500, 375), Image.BICUBIC)).astype(int)
        pixels += random.integers(-12, 13, pixels.shape)
        pixels[100 + at % 100:, 200:] //= 2
        picture = Image.fromarray(pixels.clip(0, 255).astype(numpy.uint8))
        picture.save(folder / f"{at:04}.jpg", quality=90, subsampling="4:2:0")


def spent(command, home):
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, env=os.environ | {"ZOO_HOME": str(home)})
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 1), (command, done.returncode)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return clock, processor, json.loads(done.stdout)


def weights_of(zoo, model, home):
    command = [zoo, "fetch", model, "--json", "--offline"]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=os.environ | {"ZOO_HOME": home}).stdout)
    return found[0]["path"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--model", default="efficientnet_lite0_pypi")
    parser.add_argument("--home", default=os.environ.get("ZOO_HOME", os.path.expanduser("~/.cache/zoo")))
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    zoo = os.path.abspath(args.zoo)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        folder = scratch / "images" / "n01440764"
        pictures(folder, args.images)
        size = sum(file.stat().st_size for file in folder.iterdir()) / args.images
        shared = ["--weights", weights_of(zoo, args.model, args.home), "--threads", str(args.threads), "--device", "cpu",
                  "--offline", "-q", "--json"]
        commands = {
            "verify": [zoo, "verify", args.model, "--dataset", "imagenet-val", "--data-dir", str(folder.parent), *shared],
            "features": [zoo, "features", args.model, str(folder), "--force", "-o", str(scratch / "out.safetensors"), *shared],
        }
        times = {name: [] for name in commands}
        for turn in range(args.turns + 1):
            for name in list(commands)[:: -1 if turn % 2 else 1]:
                # A home of its own: what is on record would not be computed again.
                with tempfile.TemporaryDirectory() as home:
                    clock, processor, report = spent(commands[name], home)
                # The first turn warms up.
                if turn > 0:
                    times[name].append((clock, processor))
                if name == "features":
                    assert len(report["images"]) == args.images
                    isa = report["isa"]
                else:
                    assert report["results"][0]["n"] == args.images
    print(f"{args.model}, {args.images} images of {size / 1000:.0f} kB, isa {isa}, {args.threads} threads, {args.turns} turns, "
          f"load {os.getloadavg()[0]:.1f}")
    for name, spent_ in times.items():
        clock, processor = (statistics.median(column) for column in zip(*spent_))
        print(f"  {name:9} {clock:6.2f} s by the clock, {processor:6.2f} s of processors")
    for at, what in enumerate(("clock", "processors")):
        ratios = sorted(a[at] / b[at] for a, b in zip(times["features"], times["verify"]))
        print(f"  features / verify, {what}: {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
