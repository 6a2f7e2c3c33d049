#!/usr/bin/env python3
"""Converting, inspecting and comparing large checkpoints, next to cp, cmp and (where it is installed) torch.

    python3 benches/convert.py target/release/zoo [--bytes 1930000000] [--turns 7] [--dir DIR]

Every figure is the median of interleaved turns in this run; read the ratios, not the seconds. Needs torch
to write the legacy file; without it only the zip file is measured, which zoo writes itself. `cp` is run with
--reflink=never, since a reflink copies nothing. RssAnon is the highest seen, sampled every 2 ms.
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
    """Runs every job once a turn, in turn; medians by name, and the highest RssAnon."""
    times, peaks = {name: [] for name in jobs}, {name: [] for name in jobs}
    for _ in range(count):
        for name, (before, command, codes) in jobs.items():
            before()
            seconds, code = run(command, peaks[name])
            if code not in codes:
                sys.exit(f"{name}: exit {code}")
            times[name].append(seconds)
    return {name: statistics.median(t) for name, t in times.items()}, {n: max(p, default=0) for n, p in peaks.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo", type=os.path.abspath)
    parser.add_argument("--bytes", type=int, default=1_930_000_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--dir")
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(dir=args.dir))
    try:
        measure(args, folder)
    finally:
        shutil.rmtree(folder)


def measure(args, folder):
    base, out = str(folder / "base.safetensors"), str(folder / "out.bin")
    safetensors(base, args.bytes)
    files = {"zip": str(folder / "zip.pth")}
    if run([args.zoo, "convert", base, files["zip"]])[1] != 0:
        sys.exit("zoo could not write the zip file")
    if torch:
        files["legacy"] = str(folder / "legacy.pth")
        state = torch.load(files["zip"], weights_only=True)
        torch.save(state, files["legacy"], _use_new_zipfile_serialization=False)
        del state
    fresh = lambda: pathlib.Path(out).unlink(missing_ok=True)
    for kind, path in files.items():
        jobs = {
            "cp": (fresh, ["cp", "--reflink=never", path, out], (0,)),
            "zoo": (fresh, [args.zoo, "convert", path, "-o", out, "--no-sync", "-q"], (0,)),
            "cp+sync": (fresh, ["sh", "-c", 'cp --reflink=never "$0" "$1" && sync "$1"', path, out], (0,)),
            "zoo+sync": (fresh, [args.zoo, "convert", path, "-o", out, "-q"], (0,)),
            "inspect": (lambda: None, [args.zoo, "inspect", path, "-q"], (0,)),
        }
        if torch:
            mapped = "True" if kind == "zip" else "False"
            code = ("import sys, torch; from safetensors.torch import save_file; torch.set_num_threads(1); "
                    f"save_file(torch.load(sys.argv[1], weights_only=True, mmap={mapped}), sys.argv[2])")
            jobs["torch"] = (fresh, [sys.executable, "-c", code, path, out], (0,))
        medians, peaks = turns(args.turns, jobs)
        print(f"{kind} .pth of {os.path.getsize(path) / 1e9:.2f} GB, medians of {args.turns}")
        for name, seconds in medians.items():
            print(f"  {name:<10} {seconds:8.3f} s   RssAnon {peaks[name]:8.1f} MB")
        print(f"  zoo / cp {medians['zoo'] / medians['cp']:.2f}, synced {medians['zoo+sync'] / medians['cp+sync']:.2f}")
        if torch:
            print(f"  torch / zoo {medians['torch'] / medians['zoo']:.1f}")
    other = str(folder / "other.safetensors")
    shutil.copyfile(base, other)
    jobs = {"cmp": (lambda: None, ["cmp", base, other], (0,)), "diff": (lambda: None, [args.zoo, "diff", base, other, "-q"], (0,))}
    medians, _ = turns(args.turns, jobs)
    for name, seconds in medians.items():
        print(f"{name:<10} {seconds:8.3f} s   {os.path.getsize(base) / seconds / 1e9:.2f} GB/s")
    print(f"diff / cmp {medians['diff'] / medians['cmp']:.2f}")


if __name__ == "__main__":
    main()
