#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: python3 tests/fuzz/seeds.py FOLDER

Most seeds are cases of tests/cases. Each target gets a folder FOLDER/TARGET with a
file per seed, named by its hash; every key and short string of the configurations
goes into FOLDER/config.dict, the dictionary of libFuzzer. tests/fuzz/run.py runs
this first.
"""

import hashlib
import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE.parent / "cases"

# Tokens of a configuration besides keys and strings.
PUNCTUATION = ["{", "}", "[", "]", ":", ",", "null", "true", "false", "1e9", "-1", "\\u0000"]

# Requests for tests/cases/rich.json, policy 0: all that its conditions read, and forged reserved
# headers.
RICH_REQUESTS = [
    [
        (b":method", b"GET"),
        (b":authority", b"www.shop.example.com"),
        (b":path", b"/checkout?preview=1&uid=%41%25"),
        (b"cookie", b'ring=beta; uid="7"'),
        (b"x-user-id", b"239701014"),
        (b"x-divvy-route", b"forged"),
        (b"x-divvy-route", b"twice"),
        (b"x-divvy-assignment", b"checkout=v2;reason=rule"),
        (b"x-divvy-mirror", b"forged"),
        (b"x-divvy-mirror", b"twice"),
    ],
    [
        (b":method", b"PUT"),
        (b":authority", b"api.example.com:443"),
        (b":path", b"/search/page.html"),
        (b"x-canary", b"true"),
        (b"x-bytes", b"\xc3\xbf"),
        (b"x-user-id", b"1"),
        (b"x-user-id", b"2"),
    ],
    [
        (b":path", b"/page/start?age=20"),
        (b"x-app-version", b"v2.3.0-beta.2"),
        (b"x-traffic-label", b"tenant=acme;ring=beta"),
        (b"x-real-ip", b"192.168.1.1"),
        (b"user-agent", b"Mozilla/5.0 (X11) Firefox/140.0"),
        (b"x-gray-id", b"forged"),
        (b"x-abtest-group", b"forged"),
        # Properties; only the target `headers` reads such lines.
        (b"@sub", b"alice"),
        (b"@address", b"[2001:db8:1:2::3]:4567"),
        (b"@roles", struct.pack("<3I", 1, 5, 0) + b"staff\0\0"),
        (b"@level", struct.pack("<d", 3)),
        (b"@paying", b"\1"),
        (b"@random", b"0123456789abcdef"),
    ],
]

PREFLIGHT = [
    (b":method", b"OPTIONS"),
    (b"origin", b"https://a.example"),
    (b"access-control-request-method", b"GET"),
]
SEMVER = [">=2.3", ">=2.3.0-beta, <3", "v1", "=1.2.3+build", "<2,>1", "1.2.3.4"]
VERSIONS = ["2.3", "v2.3.0-beta.1", "1.0.0+build", "3"]
OPERATORS = [
    (r"regex (?i)[a-z]+\d{1,3}|\x{41}", "Ab12"),
    ("range 10.5", "-0010.50"),
    ("cidr 10.0.0.0/8", "::ffff:10.1.2.3"),
    ("cidr 2001:db8::/32", "2001:db8::1"),
]
# Patterns and a value for each.
REGEX = [
    (r"(?i)[a-z]+\d{1,3}|\x{41}", "Ab12"),
    (r"(?is:.*(chrome|firefox)/1[0-9]+[^;]*)", "Mozilla/5.0 Chrome/129"),
    (r"(?mR)^[[:^alpha:]\w&-]{2,}?$\b\B\s", "ä1\r\n"),
    (r"(?xU) a+ # one\n(?:b|c)*|\b{start}\W\D", "aab"),
    (r"[^\d-z\]]|\u00e4|\t(?P<n>)", "ä"),
]


ASSIGNMENTS = [
    "checkout=v2;reason=split, search=B;reason=inherited;upstream=sticky",
    "checkout=v9;reason=rule, other=(a \"b, c\");q=?1, elsewhere=v2",
    "upstream-only=on;reason=active, a=:aGk=:, b=%\"f%c3%bc\", c=-1.5, d=@1",
]
BAGGAGE = [
    b"a=1;p;q=2, b = x%20y ,divvy=checkout%3Dv2%3Breason%3Dsplit",
    b"divvy=checkout%3Dv2%3Breason%3Drule%2C+other%3D%28a%20b%29;p\na=1",
    b"%64ivvy=x,+divvy=y,%2564ivvy=z\ndivvy;p=1,divvy\n,,=,",
    b",".join([b"a=1"] * 64),
    b"divvy=" + b"%41" * 2800,
]
STICKY = ["", "1:10257418:v2:412643", "1:10257418::5", "1:10257418:3:x; got=2"]


# A value of DIVVY_KEYS, a sticky cookie, a minted identity, and an override for each place: well-formed, but
# with a signature of zeros.
KEY = b"2026d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
MAC = b"AAAAAAAAAAAAAAAAAAAAAA"
OVERRIDE = b"1:2026d:checkout:v2:*:*:tpcanq:tpcdg0:AAAAAAAAAAA:" + MAC
SIGNED = [
    b"\n".join([
        KEY,
        b"2:2026d:10257418:v2:0:htlry:" + MAC,
        b"00000000-0000-4000-8000-000000000000.2026d." + MAC,
        OVERRIDE,
        OVERRIDE,
        OVERRIDE,
    ]),
    KEY + b",unit:" + KEY[6:] + b",2026d:short",
    b"2026d:" + MAC + b"\n2:x:y\n.2026d.\n1:2026d:::::::",
    b"\n".join([b"", b"", b"", *[b",".join([OVERRIDE] * 17)] * 3]),
]


def main(folder):
    groups = json.loads((CASES / "decisions.json").read_text())
    rich = json.loads((CASES / "rich.json").read_text())
    requests = [
        (number, headers_of(case) + properties(case))
        for number, group in enumerate(groups, 1)
        for case in group["cases"]
    ]
    requests += [(0, headers) for headers in RICH_REQUESTS]
    requests += [(number, PREFLIGHT) for number in range(len(groups) + 1)]
    configs = [rich] + [group["config"] for group in groups]
    broken = json.loads((CASES / "broken.json").read_text())
    seeds = {
        "config": [compact(config) for config in configs]
        + [compact(patched(rich, row)) for row in broken],
        "headers": [text(number, headers) for number, headers in requests],
        "block": [block(headers) for _, headers in requests],
        "labels": [value for name, value in RICH_REQUESTS[2] if name == b"x-traffic-label"],
        "chain": [f"{one}\n{cookie}".encode() for one in ASSIGNMENTS for cookie in STICKY],
        "baggage": BAGGAGE,
        "signatures": SIGNED,
        "semver": [f"{one}\n{version}".encode() for one in SEMVER for version in VERSIONS],
        "operators": ["\n".join(pair).encode() for pair in OPERATORS],
        "regex": ["\n".join(pair).encode() for pair in REGEX],
        "cookies": [b"\n".join(values(headers, b"cookie")) for _, headers in requests],
        "path": [path for _, headers in requests for path in values(headers, b":path")],
        "host": [host for _, headers in requests for host in values(headers, b":authority")],
    }
    seeds["query"] = [path.partition(b"?")[2] for path in seeds["path"]]
    for target, inputs in seeds.items():
        write(folder / target, inputs)
    words = {word for config in configs for word in words_of(config)}
    lines = [entry(word) for word in PUNCTUATION + sorted(words)]
    (folder / "config.dict").write_text("\n".join(lines) + "\n", encoding="ascii")


def write(folder, inputs):
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    for data in inputs:
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def compact(config):
    return json.dumps(config, separators=(",", ":"), ensure_ascii=False).encode()


def patched(config, row):
    """The configuration with one value replaced; unchanged if the place does not exist."""
    config = json.loads(json.dumps(config))
    *way, last = row["at"].split("/")[1:]
    node = config
    try:
        for step in way:
            node = node[int(step) if isinstance(node, list) else step]
        node[int(last) if isinstance(node, list) else last] = row["put"]
    except (KeyError, IndexError, ValueError, TypeError):
        pass
    return config


def headers_of(case):
    """Headers of a case, where each character is a byte."""
    return [[part.encode("latin-1") for part in pair] for pair in case["headers"]]


def properties(case):
    """Lines for the properties of a case; the name of a nested claim is its last key."""
    lines = [[b"@address", case["source"].encode()]] if "source" in case else []
    open_claims = list((case.get("claims") or {}).items())
    for name, value in open_claims:
        if isinstance(value, dict):
            open_claims.extend(value.items())
        elif (data := claim(value)) is not None:
            lines.append([b"@" + name.encode(), data])
    return lines


def claim(value):
    """A claim as Envoy serializes it; None for other types."""
    if isinstance(value, bool):
        return struct.pack("B", value)
    if isinstance(value, (int, float)):
        return struct.pack("<d", value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        elements = [claim(element) for element in value]
        return None if None in elements else block([(element, b"") for element in elements])
    return None


def values(headers, wanted):
    return [value for name, value in headers if name == wanted]


def text(number, headers):
    """The lines that the target `headers` reads."""
    lines = [str(number).encode()] + [name + b": " + value for name, value in headers]
    return b"\n".join(lines)


def block(headers):
    """A header map as the host serializes it."""
    data = struct.pack("<I", len(headers))
    data += b"".join(struct.pack("<II", len(name), len(value)) for name, value in headers)
    return data + b"".join(name + b"\0" + value + b"\0" for name, value in headers)


def words_of(value):
    """The keys, with quotes and colon, and the short strings."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield f'"{key}":'
            yield from words_of(child)
    elif isinstance(value, list):
        for child in value:
            yield from words_of(child)
    elif isinstance(value, str) and len(value) <= 40:
        yield json.dumps(value, ensure_ascii=False)


def entry(word):
    """A line of the dictionary."""
    plain = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}"
        for byte in word.encode()
    )
    return f'"{plain}"'


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
