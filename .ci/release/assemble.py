#!/usr/bin/env python3
"""Writes the files of a release to a folder: assemble.py FOLDER VERSION, from the root of the repository

The programs are built before; RELEASING.md lists the files. The same source and tools give the same bytes: no clock, no
user, no local path. Environment: SOURCE_DATE_EPOCH, SOURCE_COMMIT, CLI (the program with the page), MODULE (the native
module), TOOLS (the folder of cargo-cyclonedx), and for the provenance BUILDER_ID and SOURCE_URI.
"""

import base64
import hashlib
import io
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
WASM_TARGET = "wasm32-wasip1"
SHELLS = {"bash": "divvy.bash", "zsh": "_divvy", "fish": "divvy.fish", "elvish": "divvy.elv", "powershell": "divvy.ps1"}
SUMS = "SHA256SUMS"
PAGE = pathlib.Path("target/page")
# What decides the bytes of the programs, besides the crates in Cargo.lock.
INPUTS = (
    "Cargo.lock",
    "rust-toolchain.toml",
    "src/page/package-lock.json",
    "src/wasm/optimize/binaryen.txt",
    ".ci/release/go.sum",
)


def run(*command, **options):
    """The output of a program, which must succeed."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, **options)
    return done.stdout


def digest(data):
    return hashlib.sha256(data).hexdigest()


def text(value):
    """JSON with sorted keys and a final line break."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def archive(files):
    """A tar of files by their names, in the order of the names, without times and users."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def tree(folder):
    """The files below a folder, by their relative names."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def image(wasm, version):
    """The OCI image layout as an archive."""
    with tempfile.TemporaryDirectory() as folder:
        run("python3", "istio/image.py", wasm, "LICENSE", "istio/THIRD-PARTY.txt", version, folder)
        return archive(tree(pathlib.Path(folder)))


def manual(cli):
    """Completions of all shells and the manual pages, which the program itself writes."""
    with tempfile.TemporaryDirectory() as folder:
        run(cli, "man", folder)
        pages = tree(pathlib.Path(folder))
    files = {f"man/man1/{name}": content for name, content in pages.items()}
    for shell, name in SHELLS.items():
        files[f"completions/{name}"] = run(cli, "completions", shell)
    return archive(files)


def sources(folder):
    """Copies what cargo reads of the source, since cargo-cyclonedx writes beside each Cargo.toml."""
    for here, folders, names in os.walk("."):
        folders[:] = [name for name in folders if name not in ("target", "dist", "node_modules", ".git")]
        for name in names:
            if name in ("Cargo.toml", "Cargo.lock") or name.endswith(".rs"):
                (folder / here).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(os.path.join(here, name), folder / here / name)


def page_packages():
    """The packages of npm that the page may contain, as components, and what each of them and the page itself needs."""
    lock = json.loads(pathlib.Path("src/page/package-lock.json").read_text(encoding="utf-8"))["packages"]
    used = {path.rpartition("node_modules/")[2]: one for path, one in sorted(lock.items()) if not one.get("dev")}
    url = {name: f"pkg:npm/{name.replace('@', '%40')}@{one['version']}" for name, one in used.items() if name}
    needs = {name: [url[other] for other in one.get("dependencies", {})] for name, one in used.items()}
    components = []
    for name, one in used.items():
        if not name:
            continue
        kind, _, value = one["integrity"].partition("-")
        component = {"type": "library", "name": name, "version": one["version"], "purl": url[name], "bom-ref": url[name]}
        component["licenses"] = [{"expression": one["license"]}]
        component["hashes"] = [{"alg": kind.upper().replace("SHA", "SHA-"), "content": base64.b64decode(value).hex()}]
        components.append(component)
    return components, {url[name]: sorted(of) for name, of in needs.items() if name}, needs[""]


def with_page(value):
    """A bill of materials with the packages of the page, which the program contains."""
    components, needs, direct = page_packages()
    value["components"] += components
    root = value["metadata"]["component"]["bom-ref"]
    for entry in value["dependencies"]:
        if entry["ref"] == root:
            entry["dependsOn"] = sorted({*entry.get("dependsOn", []), *direct})
    value["dependencies"] += [{"ref": url, "dependsOn": of} for url, of in sorted(needs.items())]


def bill(package, target, artifact, content, features=""):
    """The bill of materials of a package for a target, as CycloneDX, with the hash of the artifact."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name).resolve()
        sources(folder)
        manifest = folder / package / "Cargo.toml"
        command = ["cyclonedx", "--format", "json", "--spec-version", "1.5", "--target", target]
        command += ["--no-build-deps", "--override-filename", "bill", "--manifest-path", str(manifest), "--quiet"]
        command += ["--features", features] if features else []
        run(os.path.join(os.environ["TOOLS"], "cargo-cyclonedx"), *command)
        # Local packages are named by their folder.
        written = (folder / package / "bill.json").read_text(encoding="utf-8").replace(folder.as_uri(), "file:///divvy")
    value = json.loads(written)
    value["metadata"]["component"]["name"] = artifact
    value["metadata"]["component"]["hashes"] = [{"alg": "SHA-256", "content": digest(content)}]
    if features == "page":
        with_page(value)
    return text(value)


def provenance(files, version):
    """A statement of what was built from what: in-toto, with the predicate of SLSA."""
    uri = os.environ.get("SOURCE_URI") or "urn:divvy:source"
    compiler = run("rustc", "--version").decode().strip()
    linker = run("cc", "--version").decode().splitlines()[0]
    inputs = ({"name": name, "digest": {"sha256": digest((ROOT / name).read_bytes())}} for name in INPUTS)
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest(content)}} for name, content in sorted(files.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:divvy:make-release:v1",
                "externalParameters": {"target": "make release", "version": version},
                # The program for Linux contains the C library of the machine.
                "internalParameters": {
                    "SOURCE_DATE_EPOCH": os.environ["SOURCE_DATE_EPOCH"],
                    "compiler": compiler,
                    "linker": linker,
                    "libc": " ".join(platform.libc_ver()),
                },
                "resolvedDependencies": [
                    {"uri": uri, "digest": {"gitCommit": os.environ["SOURCE_COMMIT"]}},
                    *inputs,
                ],
            },
            "runDetails": {"builder": {"id": os.environ.get("BUILDER_ID") or "urn:divvy:local"}},
        },
    }


def main():
    folder, version = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    os.chdir(ROOT)
    cli = os.environ["CLI"]
    machine = f"{platform.system().lower()}-{platform.machine()}"
    program = f"divvy-{machine}"
    module = f"libdivvy-{machine}.so"
    wasm = pathlib.Path("target/divvy.wasm").read_bytes()
    native = pathlib.Path(cli).read_bytes()
    shared = pathlib.Path(os.environ["MODULE"]).read_bytes()
    files = {
        "divvy.wasm": wasm,
        "divvy-image.tar": image("target/divvy.wasm", version),
        program: native,
        module: shared,
        "divvy-manual.tar": manual(cli),
        "divvy.wasm.cdx.json": bill(".", WASM_TARGET, "divvy.wasm", wasm),
        f"{program}.cdx.json": bill("src/cli", os.environ["CLI_TARGET"], program, native, "page"),
        f"{module}.cdx.json": bill("src/module", os.environ["CLI_TARGET"], module, shared),
        "LICENSE": pathlib.Path("LICENSE").read_bytes(),
        "THIRD-PARTY-filter.txt": pathlib.Path("istio/THIRD-PARTY.txt").read_bytes(),
        "THIRD-PARTY-module.txt": pathlib.Path("src/module/THIRD-PARTY.txt").read_bytes(),
        # Those of the packages in the page, and then those of the crates.
        "THIRD-PARTY-cli.txt": (PAGE / "THIRD-PARTY.txt").read_bytes(),
    }
    files["divvy.intoto.json"] = text(provenance(files, version))
    sums = "".join(f"{digest(content)}  {name}\n" for name, content in sorted(files.items()))
    files[SUMS] = sums.encode()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / program).chmod(0o755)


main()
