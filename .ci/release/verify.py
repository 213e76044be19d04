#!/usr/bin/env python3
"""Verifies the files of a release beyond their checksums: verify.py FOLDER

Every file is listed and has its checksum; each program has a bill of materials with its hash; the provenance names all
files; the image contains the filter of the release, the licence and the notices. Exit code 1 with the first difference.
"""

import hashlib
import io
import json
import pathlib
import sys
import tarfile

# Not listed: they say what the list is worth.
BESIDES = {"SHA256SUMS", "SHA256SUMS.sigstore.json"}


class Difference(Exception):
    """What is not as it has to be."""


def require(holds, message):
    if not holds:
        raise Difference(message)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def listed(folder):
    """The files by name, after a comparison with the list."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: known for known, name in (line.split("  ", 1) for line in lines)}
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in BESIDES}
    for name in sorted(sums.keys() | files.keys()):
        require(name in files, f"{name} is missing")
        require(name in sums, f"{name} is not in SHA256SUMS")
        require(digest(files[name]) == sums[name], f"{name} has another checksum than in SHA256SUMS")
    return files


def bills(files):
    """Each program has a bill of materials with its hash and with components."""
    programs = [name for name in files if f"{name}.cdx.json" in files]
    require("divvy.wasm" in programs, "divvy.wasm.cdx.json is missing")
    require(any(name.startswith("divvy-") for name in programs), "the bill of materials of the command line is missing")
    require(any(name.startswith("libdivvy-") for name in programs), "the bill of materials of the module is missing")
    for name in programs:
        bill = json.loads(files[f"{name}.cdx.json"])
        require(bill["bomFormat"] == "CycloneDX", f"{name}.cdx.json is not CycloneDX")
        hashes = [one["content"] for one in bill["metadata"]["component"]["hashes"]]
        require(hashes == [digest(files[name])], f"{name}.cdx.json is about another file")
        require(len(bill["components"]) >= 10, f"{name}.cdx.json has few components")


def provenance(files):
    """The statement names every other file."""
    statement = json.loads(files["divvy.intoto.json"])
    require(statement["predicateType"] == "https://slsa.dev/provenance/v1", "divvy.intoto.json has another predicate")
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    expected = {name: digest(content) for name, content in files.items() if name != "divvy.intoto.json"}
    require(subjects == expected, "divvy.intoto.json is about other files")


def members(data):
    """The files of a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}


def image(files):
    """The digest of the image, which contains the filter of this release."""
    layout = members(files["divvy-image.tar"])
    manifest = json.loads(layout["index.json"])["manifests"][0]["digest"]
    blob = lambda name: layout[f"blobs/sha256/{name.removeprefix('sha256:')}"]  # noqa: E731
    require(f"sha256:{digest(blob(manifest))}" == manifest, "the manifest of the image has another digest")
    content = members(blob(json.loads(blob(manifest))["layers"][0]["digest"]))
    require(content["plugin.wasm"] == files["divvy.wasm"], "the image contains another filter")
    require(content["LICENSE"] == files["LICENSE"], "the image contains another licence")
    require(content["THIRD-PARTY"] == files["THIRD-PARTY-filter.txt"], "the image contains other notices")
    return manifest


def main():
    folder = pathlib.Path(sys.argv[1])
    try:
        files = listed(folder)
        bills(files)
        provenance(files)
        manifest = image(files)
    except (Difference, OSError, KeyError, ValueError, tarfile.TarError) as error:
        print(f"verify: {folder}: {error}", file=sys.stderr)
        return 1
    print(f"{len(files)} files, their checksums, bills of materials and provenance: ok")
    print(f"the image: {manifest}")
    return 0


sys.exit(main())
