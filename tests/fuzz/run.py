#!/usr/bin/env python3
"""Runs built fuzz targets: python3 tests/fuzz/run.py TARGET...

Two at a time (FUZZ_JOBS), FUZZ_SECONDS each (60), on the seeds and the inputs
of earlier runs; all files are in target/fuzz. `make fuzz` builds the targets and
runs this. A crash is printed with its bytes, and each later run begins with it
until it is fixed or its file is removed. Prints a table and the result; exit
code 1 if a target failed.
"""

import base64
import fcntl
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "target" / "fuzz"
SECONDS = int(os.environ.get("FUZZ_SECONDS") or 60)
JOBS = int(os.environ.get("FUZZ_JOBS") or 2)

# Larger inputs are slow and rarely cover more.
OPTIONS = ["-max_len=16384", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]
# Maximum lines of a report; the rest are frames of libFuzzer.
REPORT_LINES = 60


class Run:
    """One run of a target, with the log of libFuzzer."""

    def __init__(self, target):
        self.target = target
        self.artifacts = TARGET / "artifacts" / target
        corpus = TARGET / "corpus" / target
        seeds = TARGET / "seeds" / target
        for folder in (self.artifacts, corpus, seeds, TARGET / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        command = [program(target), *OPTIONS]
        command += [f"-max_total_time={SECONDS}", f"-artifact_prefix={self.artifacts}/"]
        dictionary = TARGET / "seeds" / f"{target}.dict"
        if dictionary.is_file():
            command.append(f"-dict={dictionary}")
        # libFuzzer writes new inputs into the first folder.
        command += [corpus, seeds, self.artifacts]
        log = TARGET / "logs" / f"{target}.log"
        start = time.monotonic()
        with log.open("wb") as output:
            self.code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
            ).returncode
        self.seconds = time.monotonic() - start
        self.log = log.read_text(errors="replace")

    def last(self, pattern):
        """The last number that the pattern finds; 0 if there is none."""
        found = re.findall(pattern, self.log)
        return int(found[-1]) if found else 0

    @property
    def runs(self):
        return self.last(r"stat::number_of_executed_units: (\d+)") or self.last(r"(?m)^#(\d+)\t")

    @property
    def coverage(self):
        """Covered edges; 0 means that the build is not instrumented."""
        return self.last(r"cov: (\d+)")

    @property
    def passed(self):
        return self.code == 0 and self.coverage > 0

    def report(self):
        """Prints the error with the input that causes it."""
        lines = self.log.splitlines()
        signs = ("panicked at", "ERROR: ", "Slow input")
        begin = next((n for n, line in enumerate(lines) if any(s in line for s in signs)), 0)
        print(f"\n{self.target} failed with code {self.code}:")
        print("\n".join(lines[begin : begin + REPORT_LINES]))
        for name in re.findall(r"Test unit written to (.+)", self.log):
            show(Path(name.strip()))
        # A crash of an earlier run is not written again.
        known = [path for path in self.artifacts.iterdir() if path.name in self.log]
        for path in known if "Test unit written to" not in self.log else []:
            show(path)
        print(f"To repeat: {program(self.target)} FILE", flush=True)

    def row(self):
        verdict = "ok" if self.passed else "FAILED"
        rate = self.last(r"stat::average_exec_per_sec:\s+(\d+)")
        features = self.last(r"ft: (\d+)")
        return (
            f"{self.target:<12} {verdict:<7} {self.runs:>11} {self.seconds:>7.0f}s"
            f" {self.coverage:>6} {features:>6} {rate:>8}"
        )


def program(target):
    """The built target, in a folder of cargo-fuzz named by the platform."""
    built = [p for p in TARGET.glob(f"build/*/release/{target}") if os.access(p, os.X_OK)]
    if len(built) != 1:
        sys.exit(f"{target} does not exist or is not built: make fuzz-{target}")
    return built[0]


def show(artifact):
    """Prints the bytes, so that a log of CI contains them."""
    data = artifact.read_bytes()
    print(f"{artifact}, {len(data)} bytes:\n{data!r}")
    print(f"base64: {base64.b64encode(data).decode()}")


def only_one():
    """Takes a lock, which ends with this process: two runs would overwrite each other's logs."""
    TARGET.mkdir(parents=True, exist_ok=True)
    lock = (TARGET / "lock").open("w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another run uses {TARGET}: wait for it, or use another checkout")
    return lock


def main(targets):
    lock = only_one()
    subprocess.run([sys.executable, HERE / "seeds.py", TARGET / "seeds"], check=True)
    for target in targets:
        program(target)
    count = "one at a time" if JOBS == 1 else f"{JOBS} at a time"
    print(f"{len(targets)} targets for {SECONDS} s each, {count}", flush=True)
    with ThreadPoolExecutor(max_workers=JOBS) as pool:
        runs = list(pool.map(Run, targets))
    failed = [run for run in runs if not run.passed]
    for run in failed:
        run.report()
    print(f"\n{'target':<12} {'':<7} {'runs':>11} {'time':>8} {'cov':>6} {'ft':>6} {'exec/s':>8}")
    for run in runs:
        print(run.row())
    verdict = "FAILED" if failed else "ok"
    lock.close()
    print(f"\nfuzz result: {verdict}. {len(runs) - len(failed)} passed; {len(failed)} failed;")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
