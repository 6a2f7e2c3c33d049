#!/usr/bin/env python3
"""A cold `zoo list`, next to timm's list of its models and to starting a process that does nothing.

    python3 benches/list.py target/release/zoo [--python oracle/bin/python] [--turns 31]

Every figure is the median of interleaved turns in this run, wall time of a whole process into a pipe, beside
the processor time it took: on a busy machine read the latter. `cold` means a new process; the files are in the
page cache on both sides. Needs a Python with timm for timm's lines; without one they are left out. The two do
not do the same: timm's list has names only, zoo's has every figure of the pages.
"""
import argparse, os, resource, statistics, subprocess, sys, time


def run(command):
    """Seconds on the clock and of the processor, children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 1), (command, done.returncode)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def machine():
    """The processor and the widest instructions it has."""
    with open("/proc/cpuinfo") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    flags = facts.get("flags", "").split()
    isa = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "neither AVX2 nor AVX-512"
    return f"{facts.get('model name', 'unknown processor')} (family {facts.get('cpu family')}, model {facts.get('model')}; {isa})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--turns", type=int, default=31)
    args = parser.parse_args()
    zoo = args.zoo
    jobs = {
        "/bin/true": ["/bin/true"],
        "zoo --version": [zoo, "--version"],
        "zoo list": [zoo, "list"],
        "zoo list --where 'params<10M and top1>80'": [zoo, "list", "--where", "params<10M and top1>80"],
        "zoo show tf_efficientnet_b0_ns": [zoo, "show", "tf_efficientnet_b0_ns"],
        "zoo list --json": [zoo, "list", "--json"],
        "zoo lint": [zoo, "lint"],
        "zoo lint registry/models": [zoo, "lint", "registry/models"],
    }
    slow = {}
    if subprocess.run([args.python, "-c", "import timm"], stderr=subprocess.DEVNULL).returncode == 0:
        slow["python -c 'pass'"] = [args.python, "-c", "pass"]
        slow["python -c 'import timm; timm.list_models()'"] = [args.python, "-c", "import timm; timm.list_models()"]
    times = {name: [] for name in jobs | slow}
    for turn in range(args.turns):
        for name, command in jobs.items():
            times[name].append(run(command))
        # Seconds each: a few turns tell enough.
        for name, command in slow.items() if turn < 5 else ():
            times[name].append(run(command))
    print(f"{time.strftime('%Y-%m-%d')}, {machine()}")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, medians of {args.turns} turns")
    print(f"{'':45}  {'clock ms':>9}  {'processor ms':>12}")
    for name, all in times.items():
        wall, cpu = (statistics.median(column) * 1000 for column in zip(*all))
        print(f"{name:45}  {wall:9.1f}  {cpu:12.1f}")


main()
