#!/usr/bin/env python3
"""How cost grows: with threads, with the size of images, with that of a dataset, with the number of reports merged.

    python benches/growth.py target/release/zoo [--images 1000,5000,10000,25000,50000] [--parts 10,100,1000]
        [--threads 2] [--only threads,size,dataset,merge] [--dir DIR]

- threads: images/s of `zoo bench` on 1 and on all threads; beyond the threads that the machine has, a simulation of the
  pipeline (one queue of results, one consumer that journals them, service times as `timing` and `zoo verify` of the dataset
  part measured them). It knows nothing of memory bandwidth and of clocks that fall: it says where the *queue* would end
  the growth, which is an upper bound of what a machine does.
- size: images/s of one network at several image sizes, and per pixel.
- dataset: a tree of small JPEGs (one picture with another comment each, so that all digests differ), in a folder a class:
  seconds and peak resident memory of `zoo dataset check`, of a first `zoo verify` with a small network at 32 pixels, of
  the same run again (everything on record: listing, ids, digests, journal, report), and of one of 100 images by seed. A
  line is fitted through the seconds; its largest deviation says whether they are linear.
- merge: a run in so many shards, and `zoo merge` of their reports.

Needs timm and torch for the small network's weights (random ones: time does not depend on them), nothing else.
"""
import argparse, json, os, pathlib, random, re, shutil, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARCH, SIDE = "tf_mobilenetv3_small_minimal_100", 32


def run(command, env=None, ok=(0, 1)):
    """Seconds, peak resident megabytes, standard output."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | (env or {}))
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode not in ok:
        sys.exit(f"{command}: exit {process.returncode}: {err.decode()[-2000:]}")
    return seconds, usage.ru_maxrss / 1024, out


def tree(folder, count):
    """Grows a tree of JPEGs to so many files."""
    synsets = [line.split("\t")[0] for line in (ROOT / "registry/labels/imagenet.tsv").read_text().splitlines() if line[:1] == "n"]
    labels = (ROOT / "registry/labels/imagenet-val.txt").read_text().split()
    picture = (ROOT / "tests/golden/images/33x15.jpg").read_bytes()
    if len(labels) < 50000 or len(synsets) < 1000:
        labels = [str(i % 1000) for i in range(50000)]
    for i in range(len(list(folder.rglob("*.JPEG"))), count):
        label = labels[i]
        name = label if label.startswith("n") else synsets[int(label)]
        target = folder / name / f"ILSVRC2012_val_{i + 1:08d}.JPEG"
        target.parent.mkdir(parents=True, exist_ok=True)
        comment = f"image {i}".encode()
        target.write_bytes(picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + picture[2:])


WEIGHTS = """
import sys, timm, torch
from safetensors.torch import save_file
torch.manual_seed(0)
save_file({k: v.contiguous() for k, v in timm.create_model(sys.argv[1]).eval().state_dict().items()}, sys.argv[2])
"""


def model(folder):
    """A registry page with the small network at 32 pixels, and its weights."""
    weights = folder / "small.safetensors"
    # In a process of its own: what a process had in memory before it became another counts as the other's peak.
    subprocess.run([sys.executable, "-c", WEIGHTS, ARCH, weights], check=True)
    page = folder / "page.yaml"
    page.write_text(f"""Models:
- Name: small_at_{SIDE}
  Metadata: {{Image Size: '{SIDE}', Crop Pct: '0.875', Interpolation: bicubic}}
  Weights: {weights.resolve().as_uri()}
  Results: [{{Task: Image Classification, Dataset: ImageNet, Metrics: {{Top 1 Accuracy: 0.1%}}}}]
  zoo: {{arch: {ARCH}, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], names: timm}}
""")
    return page, weights


def fit(points):
    """The line of least squares, and the largest share by which a point lies off it."""
    n = len(points)
    if n < 3:
        return None
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    slope = sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points)
    at = lambda x: my + slope * (x - mx)
    return slope, my - slope * mx, max(abs(y - at(x)) / at(x) for x, y in points)


def simulate(threads, prepare, network, consume, images=4000, seed=0):
    """Images/s of so many threads, each of which prepares and runs an image and hands it to one consumer."""
    rng = random.Random(seed)
    free, done, finished = [0.0] * threads, 0.0, []
    room = 4 * threads
    for i in range(images):
        worker = min(range(threads), key=free.__getitem__)
        ready = free[worker] + (prepare + network) * rng.uniform(0.8, 1.2)
        # The queue of results is full: the thread waits until the consumer has taken one.
        if len(finished) >= room:
            ready = max(ready, finished[-room])
        free[worker] = ready
        done = max(done, ready) + consume
        finished.append(done)
    return images / done


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo")
    parser.add_argument("--images", default="1000,5000,10000,25000,50000")
    parser.add_argument("--parts", default="10,100,1000")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="threads,size,dataset,merge")
    parser.add_argument("--dir", type=pathlib.Path)
    args = parser.parse_args()
    zoo, only = os.path.abspath(args.zoo), args.only.split(",")
    work = args.dir or pathlib.Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    print(f"{time.strftime('%Y-%m-%d')}, {cpu and cpu[1]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    consume = 20e-6
    if {"dataset", "merge"} & set(only):
        page, weights = model(work)
        folder, home = work / "tree", work / "home"
        folder.mkdir(exist_ok=True)
        env = {"ZOO_HOME": str(home), "ZOO_OFFLINE": "1"}
        base = [zoo, "verify", f"small_at_{SIDE}", "--registry", page, "--dataset", "imagenet-val", "--weights", weights, "--threads",
                str(args.threads), "--progress", "none", "--tolerance", "99"]
    if "dataset" in only:
        print("\n| images | dataset check, s | MB | verify, s | MB | again, s | MB | report, MB | 100 by seed, s |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        columns = {"check": [], "verify": [], "again": []}
        for count in map(int, args.images.split(",")):
            tree(folder, count)
            shutil.rmtree(home, ignore_errors=True)
            check = run([zoo, "dataset", "check", "imagenet-val", "--data-dir", folder], env)
            report = work / "report.json"
            command = [*base, "--data-dir", folder]
            first = run([*command, "--report", report, "--force"], env)
            timing = json.loads(report.read_text())["timing"]["models"][0]
            again = run([*command, "--report", work / f"again-{count}.json"], env)
            subset = run([*command, "--subset", "100"], env)
            size = report.stat().st_size / 1e6
            for name, seen in zip(columns, (check, first, again)):
                columns[name].append((count, seen[0]))
            print(f"| {count} | {check[0]:.2f} | {check[1]:.0f} | {first[0]:.2f} | {first[1]:.0f} | {again[0]:.2f} | {again[1]:.0f} "
                  f"| {size:.1f} | {subset[0]:.2f} |", flush=True)
            (work / f"again-{count}.json").unlink()
            threads = timing.get("threads", [])
            if threads:
                # What the caller's thread has to do of an image is what a run on record does of it.
                consume = again[0] / count
        for name, points in columns.items():
            if found := fit(points):
                slope, start, off = found
                print(f"{name}: {1e6 * slope:.0f} us an image and {start:.2f} s; the furthest is {100 * off:.0f} % off that line")
    if "merge" in only:
        count = 2000
        tree(folder, count)
        few = work / "few"
        if not few.exists():
            few.mkdir()
            for path in sorted(folder.rglob("*.JPEG"))[:count]:
                (few / path.parent.name).mkdir(exist_ok=True)
                os.link(path, few / path.parent.name / path.name)
        print(f"\n| parts of {count} images | zoo merge, s | MB |\n| ---: | ---: | ---: |")
        for parts in map(int, args.parts.split(",")):
            shards = work / f"shards-{parts}"
            shards.mkdir(exist_ok=True)
            for part in range(1, parts + 1):
                out = shards / f"{part}.json"
                if not out.exists():
                    run([*base, "--data-dir", few, "--shard", f"{part}/{parts}", "--report", out], env)
            merged = run([zoo, "merge", *sorted(shards.iterdir()), "--report", work / f"merged-{parts}.json", "--force"], env)
            print(f"| {parts} | {merged[0]:.2f} | {merged[1]:.0f} |", flush=True)
    if "size" in only:
        print("\n| tf_efficientnet_b0 at | images/s | pixels/us |\n| ---: | ---: | ---: |")
        for side in (96, 128, 160, 192, 224, 256, 320, 384, 448, 512):
            out = json.loads(run([zoo, "bench", "tf_efficientnet_b0", "--size", str(side), "--threads", str(args.threads), "--json"])[2])
            rate = out["throughput"]["images_per_second"]
            print(f"| {side} | {rate:.1f} | {rate * side * side / 1e6:.2f} |", flush=True)
    if "threads" in only:
        print("\n| tf_efficientnet_b0@224, threads | images/s | |\n| ---: | ---: | --- |")
        rates = {}
        for threads in sorted({1, args.threads}):
            out = json.loads(run([zoo, "bench", "tf_efficientnet_b0", "--threads", str(threads), "--json"])[2])
            rates[threads] = out["throughput"]["images_per_second"]
            print(f"| {threads} | {rates[threads]:.1f} | measured |", flush=True)
        for threads in (1, args.threads, 8, 32, 64, 128):
            rate = simulate(threads, 0.002, 1 / rates[1], consume)
            print(f"| {threads} | {rate:.0f} | simulated, with 2 ms an image for decoding and resizing, {1e6 * consume:.0f} us for the consumer |")


if __name__ == "__main__":
    main()
