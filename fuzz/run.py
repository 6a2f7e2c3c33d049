#!/usr/bin/env python3
"""Fuzzes every reader until it has had so many minutes of the processor, and prints a line for each target.

    export TMPDIR=/dev/shm    # or another folder in memory: what is converted is synced, and the disk would take the time
    cargo test --release --no-run
    python3 fuzz/run.py target/release/deps/it-* [--minutes 10] [--only NAME...] | tee fuzz/last-run.txt

The targets of one reader (the word before the first `_` of their names) share its minutes. Every slice of a minute begins
with another seed. A failure prints bolero's seed, ends its target, and the run then ends with code 1.
"""
import argparse
import os
import resource
import subprocess
import sys
import time


def used():
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="+")
    parser.add_argument("--minutes", type=float, default=10, help="for each reader")
    parser.add_argument("--only", nargs="*", default=[], help="these readers")
    a = parser.parse_args()
    program = max((p for p in a.programs if os.access(p, os.X_OK) and not p.endswith(".d")), key=os.path.getmtime)
    listed = subprocess.run([program, "--list", "fuzz"], check=True, capture_output=True, text=True).stdout
    targets = [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]
    readers = {}
    for target in targets:
        if {"fuzz", "fuzz_pages"} & set(target.split("::")) and not target.endswith("found_again"):
            readers.setdefault(target.split("::")[-1].split("_")[0], []).append(target)
    shares = [(t, 60 * a.minutes / len(of)) for name, of in readers.items() if name in (a.only or readers) for t in of]
    environment = {**os.environ, "BOLERO_RANDOM_TEST_TIME_MS": "60000", "BOLERO_RANDOM_ITERATIONS": "1000000000"}
    print(f"# {time.strftime('%Y-%m-%dT%H:%MZ', time.gmtime())}, {a.minutes:g} minutes of the processor a reader", flush=True)
    failed = 0
    for target, share in shares:
        spent, slices, broken = 0.0, 0, 0
        while spent < share:
            before = used()
            ran = subprocess.run([program, "--exact", target, "--test-threads", "1"], env=environment, capture_output=True, text=True)
            spent, slices = spent + used() - before, slices + 1
            if ran.returncode != 0:
                broken += 1
                print(ran.stdout[-4000:], ran.stderr[-4000:], file=sys.stderr, flush=True)
                break
        failed += broken
        print(f"{target}: {spent / 60:.1f} minutes in {slices} runs, {'FAILED' if broken else 'clean'}", flush=True)
    return 1 if failed else 0


sys.exit(main())
