#!/usr/bin/env python3
"""Makes a signed release in two folders and verifies it with its files alone, by the commands of the README.

make test-release. Needs the programs that it builds first: cosign and crane.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / "target/release-tools/bin"
CRANE = ROOT / "target/istio/bin/crane"
KEY = {"COSIGN_PASSWORD": "a password of the test"}
SHIPPED_IMAGE = "registry.example.com/divvy@sha256:…"


def run(*command, cwd=ROOT, good=True, **env):
    """The output of a command, which has to succeed, or to fail if `good` is false."""
    words = [str(word) for word in command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(words, cwd=cwd, env={**os.environ, **env}, check=False, **pipes)
    if (done.returncode == 0) != good:
        sys.exit(f"{' '.join(map(str, command))} ended with exit code {done.returncode}:\n{done.stdout}")
    return done.stdout


def source(folder):
    """A copy of the source in another folder, with the tools that do not change the release."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "target").mkdir()
    for name in ("release-tools", "binaryen"):
        (folder / "target" / name).symlink_to(ROOT / "target" / name)
    return folder


def flipped(data, place):
    """The data with one bit changed at a place."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


class Registry:
    """A container registry on a free port."""

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        self.process = subprocess.Popen([CRANE, "registry", "serve", "--address", self.host], stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1).close()
                return self
            except OSError:
                time.sleep(0.05)
        sys.exit("the registry does not answer")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def verifies(dist, key, good=True):
    return run("make", "-s", "verify-release", f"DIST={dist}", f"COSIGN_PUB={key}", good=good)


def commands():
    """The commands with which the README verifies a release."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"```sh\n(.*?)```", readme, re.S) if "SHA256SUMS" in block)
    return [line for line in block.splitlines() if line.strip()]


def two_folders_give_equal_bytes(work, dist):
    # The paths have other lengths, and the second one has no repository.
    other = source(work / "another/place/for/the/same/source")
    statement = json.loads((dist / "divvy.intoto.json").read_text(encoding="utf-8"))
    build = statement["predicate"]["buildDefinition"]
    stamp = {
        "SOURCE_DATE_EPOCH": build["internalParameters"]["SOURCE_DATE_EPOCH"],
        "SOURCE_COMMIT": build["resolvedDependencies"][0]["digest"]["gitCommit"],
    }
    run("make", "-s", "release", f"DIST={work / 'second'}", cwd=other, **stamp)
    first = {path.name: path.read_bytes() for path in dist.iterdir() if not path.name.endswith(".sigstore.json")}
    second = {path.name: path.read_bytes() for path in (work / "second").iterdir()}
    different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    assert not different, f"differ between two folders: {different}"


def a_stranger_verifies_with_three_commands(work, dist, key):
    stranger = work / "stranger"
    shutil.copytree(dist, stranger)
    shutil.copy(key, stranger / "cosign.pub")
    lines = commands()
    assert len(lines) == 3, lines
    with Registry() as registry:
        image = f"{registry.host}/divvy:test"
        layout = work / "layout"
        layout.mkdir()
        run("tar", "-xf", dist / "divvy-image.tar", "-C", layout)
        run(CRANE, "push", layout, image)
        run("make", "-s", "sign-image", f"IMAGE={image}", f"COSIGN_KEY={work / 'cosign.key'}", **KEY)
        digest = run(CRANE, "digest", image).strip()
        path = f"{TOOLS}:{os.environ['PATH']}"
        lines = [line.replace(SHIPPED_IMAGE, f"{registry.host}/divvy@{digest}") for line in lines]
        for line in lines:
            run("sh", "-c", line, cwd=stranger, PATH=path)
        # Each command finds its own kind of change.
        sums = (stranger / "SHA256SUMS").read_bytes()
        (stranger / "SHA256SUMS").write_bytes(flipped(sums, 0))
        run("sh", "-c", lines[0], cwd=stranger, PATH=path, good=False)
        (stranger / "SHA256SUMS").write_bytes(sums)
        wasm = (stranger / "divvy.wasm").read_bytes()
        (stranger / "divvy.wasm").write_bytes(flipped(wasm, len(wasm) // 2))
        run("sh", "-c", lines[1], cwd=stranger, PATH=path, good=False)
        # An image without a signature.
        run(CRANE, "mutate", "--annotation", "a=b", image, "--tag", f"{registry.host}/divvy:other")
        other = run(CRANE, "digest", f"{registry.host}/divvy:other").strip()
        run("sh", "-c", lines[2].replace(digest, other), cwd=stranger, PATH=path, good=False)


def a_flipped_byte_of_any_file_is_found(work, dist, key):
    for file in sorted(dist.iterdir()):
        whole = file.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            file.write_bytes(flipped(whole, place))
            verifies(dist, key, good=False)
        file.write_bytes(whole)
    # A file more, and one less.
    (dist / "more").write_bytes(b"")
    verifies(dist, key, good=False)
    (dist / "more").rename(work / "more")
    (dist / "divvy.wasm.cdx.json").rename(work / "less")
    verifies(dist, key, good=False)
    (work / "less").rename(dist / "divvy.wasm.cdx.json")
    verifies(dist, key)


def another_key_is_refused(work, dist, _):
    other = work / "other"
    other.mkdir()
    run(TOOLS / "cosign", "generate-key-pair", cwd=other, **KEY)
    verifies(dist, other / "cosign.pub", good=False)


def the_program_runs_alone(_, dist):
    program = next(path for path in dist.iterdir() if path.name.startswith("divvy-linux") and path.suffix == "")
    linked = run("sh", "-c", f"ldd {program} 2>&1 || true")
    assert "statically linked" in linked or "not a dynamic executable" in linked, linked
    assert run(program, "--version", PATH="").startswith("divvy ")


def the_module_needs_the_c_library_alone(_, dist):
    module = next(path for path in dist.iterdir() if path.name.startswith("libdivvy-") and path.suffix == ".so")
    needed = re.findall(r"NEEDED +(\S+)", run("objdump", "-p", module))
    assert all(re.fullmatch(r"libc\.so\.6|ld-linux.*", name) for name in needed), needed
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", run("objdump", "-T", module))
    page = (ROOT / "envoy/docs/MODULE.md").read_text(encoding="utf-8")
    shipped = re.search(r"glibc (\d+)\.(\d+) or newer", page)
    newest = max((int(major), int(minor)) for major, minor in versions)
    assert newest <= (int(shipped[1]), int(shipped[2])), newest


def the_program_contains_the_page(_, dist):
    program = next(path for path in dist.iterdir() if path.name.startswith("divvy-linux") and path.suffix == "")
    command = [program, "ui", "--output", "json", "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(command, cwd=dist, env={"PATH": ""}, stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(server.stdout.readline())["url"]
        for file in sorted((ROOT / "target/page").iterdir()):
            with urllib.request.urlopen(f"{url}/{file.name}", timeout=10) as answer:
                content = answer.read().replace(b'<meta name="divvy-server" content="1">', b"")
            assert content == file.read_bytes(), f"{file.name} differs from that of target/page"
    finally:
        server.kill()
        server.wait()
    bill = json.loads((dist / f"{program.name}.cdx.json").read_text(encoding="utf-8"))
    names = {component["name"] for component in bill["components"]}
    known = {*names, bill["metadata"]["component"]["name"]}
    assert {"preact", "@codemirror/view", "@marijn/find-cluster-break", "rust-embed", "tokio"} <= names, names
    assert not {"typescript", "playwright-core"} & known, known
    refs = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    used = {ref for entry in bill["dependencies"] for ref in [entry["ref"], *entry.get("dependsOn", [])]}
    assert used <= refs, used - refs
    notices = (dist / "THIRD-PARTY-cli.txt").read_text(encoding="utf-8")
    assert "preact 1" in notices and "rust-embed 8" in notices


def main():
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name).resolve()
        run(TOOLS / "cosign", "generate-key-pair", cwd=work, **KEY)
        key, dist = work / "cosign.pub", work / "dist"
        unsigned = run("make", "-s", "release", f"DIST={dist}")
        assert "NOT SIGNED" in unsigned and "NOT SIGNED" in run("make", "-s", "verify-release", f"DIST={dist}")
        verifies(dist, key, good=False)
        run("make", "-s", "release", f"DIST={dist}", f"COSIGN_KEY={work / 'cosign.key'}", **KEY)
        verifies(dist, key)
        tests = [
            (the_program_runs_alone, (work, dist)),
            (the_module_needs_the_c_library_alone, (work, dist)),
            (the_program_contains_the_page, (work, dist)),
            (a_stranger_verifies_with_three_commands, (work, dist, key)),
            (another_key_is_refused, (work, dist, key)),
            (a_flipped_byte_of_any_file_is_found, (work, dist, key)),
            (two_folders_give_equal_bytes, (work, dist)),
        ]
        for test, arguments in tests:
            test(*arguments)
            print(f"{test.__name__}: ok", flush=True)
    print(f"test result: ok. {len(tests)} passed; 0 failed; 0 ignored")


main()
