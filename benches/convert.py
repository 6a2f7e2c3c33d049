#!/usr/bin/env python3
"""Converting, inspecting and comparing large checkpoints, next to cp, cmp and (where it is installed) torch.

    python3 benches/convert.py target/release/zoo [--bytes 1930000000] [--turns 7] [--dir DIR] [--work zip,legacy,diff]

Every figure is the median of interleaved turns in this run, a ratio that of the ratios within each turn; read
the ratios, not the seconds. Needs torch to write the legacy file; without it only the zip file is measured,
which zoo writes itself. `cp` is run with --reflink=never, since a reflink copies nothing; all inputs are in the
page cache. RssAnon is the highest seen, sampled every 2 ms (torch's own libraries are some 200 MB of it).
"""
import argparse, json, os, pathlib, shutil, statistics, struct, subprocess, sys, tempfile, threading, time

try:
    import torch
    torch.set_num_threads(1)
except ImportError:
    torch = None


def safetensors(path, total):
    """A file of random float32 tensors of the sizes that an EfficientNet has, from 1 MB to 60 MB."""
    sizes, left, n = [], total, 0
    while left > 0:
        size = min(left, (1 + (n * 7) % 60) * 1_000_000)
        sizes.append(size - size % 4)
        left, n = left - size, n + 1
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for i, size in enumerate(sizes):
        header[f"blocks.{i:04}.weight"] = {"dtype": "F32", "shape": [size // 4], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        block = os.urandom(1 << 20)
        while at > 0:
            out.write(block[:min(at, len(block))])
            at -= len(block)


def run(command, rss=None):
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if rss is not None:
        def sample():
            while process.poll() is None:
                try:
                    for line in open(f"/proc/{process.pid}/status"):
                        if line.startswith("RssAnon"):
                            rss.append(int(line.split()[1]) / 1000)
                except OSError:
                    pass
                time.sleep(0.002)
        threading.Thread(target=sample, daemon=True).start()
    code = process.wait()
    return time.perf_counter() - started, code


def turns(count, jobs):
    """Runs every job once a turn, in turn; all times by name, and the highest RssAnon."""
    times, peaks = {name: [] for name in jobs}, {name: [] for name in jobs}
    for turn in range(count):
        # There and back, so that none of them always follows the same one; each begins with nothing to write.
        for name, (before, command, codes) in list(jobs.items())[:: -1 if turn % 2 else 1]:
            before()
            os.sync()
            seconds, code = run(command, peaks[name])
            if code not in codes:
                sys.exit(f"{name}: exit {code}")
            times[name].append(seconds)
    return times, {n: max(p, default=0) for n, p in peaks.items()}


def ratio(times, one, other):
    """The median of the ratios within a turn, and the least and the most."""
    ratios = sorted(a / b for a, b in zip(times[one], times[other]))
    return f"{one} / {other} {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo", type=os.path.abspath)
    parser.add_argument("--bytes", type=int, default=1_930_000_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--dir")
    parser.add_argument("--work", default="zip,legacy,diff", type=lambda text: text.split(","))
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(dir=args.dir))
    try:
        base = str(folder / "base.safetensors")
        safetensors(base, args.bytes)
        for kind in args.work:
            if kind == "diff":
                compare(args, folder, base)
            elif kind == "zip" or torch:
                convert(args, folder, base, kind)
    finally:
        shutil.rmtree(folder)


def convert(args, folder, base, kind):
    path, out = str(folder / f"{kind}.pth"), str(folder / "out.safetensors")
    if run([args.zoo, "convert", base, path])[1] != 0:
        sys.exit("zoo could not write the zip file")
    if kind == "legacy":
        state = torch.load(path, weights_only=True)
        torch.save(state, path, _use_new_zipfile_serialization=False)
        del state
    os.sync()
    fresh = lambda: pathlib.Path(out).unlink(missing_ok=True)
    nothing = lambda: None
    zoo = [args.zoo, "convert", path, "-o", out, "-q"]
    jobs = {
        "cp": (fresh, ["cp", "--reflink=never", path, out], (0,)),
        "zoo": (fresh, zoo + ["--no-sync"], (0,)),
        "cp+sync": (fresh, ["sh", "-c", 'cp --reflink=never "$0" "$1" && sync "$1"', path, out], (0,)),
        "zoo+sync": (fresh, zoo, (0,)),
        "inspect": (nothing, [args.zoo, "inspect", path, "-q"], (0,)),
    }
    if kind == "zip":
        # What the digest costs depends on the output only.
        jobs["zoo+sha256"] = (fresh, zoo + ["--no-sync", "--sha256"], (0,))
        jobs["sha256sum"] = (nothing, ["sha256sum", path], (0,))
    if torch:
        mapped = "True" if kind == "zip" else "False"
        code = ("import sys, torch; from safetensors.torch import save_file; torch.set_num_threads(1); "
                f"save_file(torch.load(sys.argv[1], weights_only=True, mmap={mapped}), sys.argv[2])")
        jobs["torch"] = (fresh, [sys.executable, "-c", code, path, out], (0,))
    times, peaks = turns(args.turns, jobs)
    print(f"{kind} .pth of {os.path.getsize(path) / 1e9:.2f} GB, medians of {args.turns}, load {os.getloadavg()[0]:.1f}")
    for name, all in times.items():
        print(f"  {name:<10} {statistics.median(all):8.3f} s   RssAnon {peaks[name]:8.1f} MB")
    pairs = [("zoo", "cp"), ("zoo+sync", "cp+sync"), ("zoo+sha256", "sha256sum"), ("torch", "zoo")]
    print("  " + ", ".join(ratio(times, *pair) for pair in pairs if set(pair) <= times.keys()))
    fresh()
    pathlib.Path(path).unlink()


def compare(args, folder, base):
    other = str(folder / "other.safetensors")
    shutil.copyfile(base, other)
    jobs = {
        "cmp": (lambda: None, ["cmp", base, other], (0,)),
        "diff": (lambda: None, [args.zoo, "diff", base, other, "-q"], (0,)),
    }
    times, peaks = turns(args.turns, jobs)
    print(f"two files of {os.path.getsize(base) / 1e9:.2f} GB, medians of {args.turns}, load {os.getloadavg()[0]:.1f}")
    for name, all in times.items():
        seconds = statistics.median(all)
        print(f"  {name:<10} {seconds:8.3f} s   {os.path.getsize(base) / seconds / 1e9:.2f} GB/s")
    print("  " + ratio(times, "diff", "cmp"))


if __name__ == "__main__":
    main()
