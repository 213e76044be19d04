#!/usr/bin/env python3
"""Writes an OCI image layout with the filter in it: image.py FILTER LICENSE NOTICES VERSION FOLDER

With --command before them, the first file is the command line, which runs when the image does.

No Docker engine takes part, and the same filter always gives the same bytes: no times, no users,
and a gzip whose blocks are stored, since what a compressor makes depends on its version. Prints
the digest, by which a WasmPlugin can name the image for good.
"""

import hashlib
import io
import json
import pathlib
import platform
import struct
import sys
import tarfile
import zlib

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def archive(files):
    """A tar of these files, in this order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode, content in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def stored(data):
    """A gzip of the data in stored blocks."""
    out = bytearray(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")
    for start in range(0, len(data), 0xFFFF):
        block = data[start : start + 0xFFFF]
        last = start + len(block) == len(data)
        out += struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    return bytes(out + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))


def text(value):
    """JSON with sorted keys, so that the bytes are reproducible."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Layout:
    """The output folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.blobs = self.folder / "blobs" / "sha256"
        self.blobs.mkdir(parents=True, exist_ok=True)
        for old in self.blobs.iterdir():
            old.unlink()

    def blob(self, media, content):
        """Writes a blob and returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.blobs / digest).write_bytes(content)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}


def filter_image(content):
    """The filter: name and mode of its file, and the configuration of the image."""
    # Istio's agent looks for this name.
    files = [("plugin.wasm", 0o644, content)]
    about = "Splits traffic between versions of a service, as a proxy-wasm filter in Envoy and Istio"
    return files, about, {"architecture": "wasm", "os": "wasi", "config": {}}


def command_image(content):
    """The command line, which is static: the image has no other file that it needs."""
    machines = {"x86_64": "amd64", "aarch64": "arm64"}
    settings = {"Entrypoint": ["/divvy"], "User": "65532:65532"}
    config = {"architecture": machines[platform.machine()], "os": "linux", "config": settings}
    about = "Checks divvy configurations, and answers the Kubernetes API server about them"
    return [("divvy", 0o755, content)], about, config


def main():
    arguments = sys.argv[1:]
    is_command = arguments[0] == "--command"
    program, license_file, notices, version, folder = arguments[is_command:]
    image_of = command_image if is_command else filter_image
    files, about, config = image_of(pathlib.Path(program).read_bytes())
    files.append(("LICENSE", 0o644, pathlib.Path(license_file).read_bytes()))
    files.append(("THIRD-PARTY", 0o644, pathlib.Path(notices).read_bytes()))
    annotations = {
        "org.opencontainers.image.title": "divvy",
        "org.opencontainers.image.description": about,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": version,
    }
    tar = archive(files)
    layout = Layout(folder)
    layers = ["sha256:" + hashlib.sha256(tar).hexdigest()]
    config["rootfs"] = {"type": "layers", "diff_ids": layers}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.blob(CONFIG, text(config)),
        "layers": [layout.blob(LAYER, stored(tar))],
        "annotations": annotations,
    }
    image = layout.blob(MANIFEST, text(manifest))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [image]}
    (layout.folder / "index.json").write_bytes(text(index))
    (layout.folder / "oci-layout").write_bytes(text({"imageLayoutVersion": "1.0.0"}))
    print(image["digest"])


main()
