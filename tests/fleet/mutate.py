"""Changes istio/prometheus/rules.yaml in one place at a time; rules-test.yaml has to fail each time.

    python3 tests/fleet/mutate.py PROMTOOL [STEP]

Makes every STEP-th change (default 4, in two minutes on two cores; 1 makes all of them, in eight), and prints
those that no test noticed. Exit code 1 if these are more than one in twenty, or if a test fails without
a change.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

RULES = pathlib.Path(__file__).resolve().parents[2] / "istio/prometheus"
# Share of the changes that the tests have to notice.
REQUIRED = 0.95


def indentation(line):
    return len(line) - len(line.lstrip())


def changes_of_a_line(lines, number):
    """All changes of one line as (name, replacement lines, number of lines replaced)."""
    line = lines[number]
    text = line.strip()
    if text.startswith(("#", "- name", "- record", "- alert", "labels:", "annotations:", "summary:", "description:")):
        return
    if text.startswith("for:"):
        yield "without for", [], 1
        minutes = int(re.search(r"\d+", text)[0])
        yield "for ten times as long", [line.replace(f"{minutes}m", f"{minutes * 10}m")], 1
        return
    if re.match(r"(unless|and|or) ", text):
        # A clause ends where the indentation returns.
        end = number + 1
        while end < len(lines) and indentation(lines[end]) > indentation(line):
            end += 1
        clause = "".join(lines[number:end])
        closing = clause.count(")") - clause.count("(")
        yield "without the clause", [" " * indentation(line) + ")" * closing + "\n"], end - number
    for match in re.finditer(r" (>=|==|>|<) (?=[\d(])", line):
        opposite = {">=": "<", ">": "<=", "==": "!=", "<": ">="}[match[1]]
        yield f"{match[1]} is {opposite}", [line[: match.start(1)] + opposite + line[match.end(1) :]], 1
    for match in re.finditer(r"(?<=[>=<*+] )\d+(\.\d+)?(?![\w.%])", line):
        if match[0] not in ("0", "1"):
            for factor in (0.1, 10):
                number_text = f"{float(match[0]) * factor:g}"
                yield f"{match[0]} is {number_text}", [line[: match.start()] + number_text + line[match.end() :]], 1
    for match in re.finditer(r"(?<==~\")[^\"]*\|[^\"]*", line):
        for word in match[0].split("|"):
            rest = "|".join(other for other in match[0].split("|") if other != word)
            yield f"without {word}", [line[: match.start()] + rest + line[match.end() :]], 1


def changes(text):
    lines = text.splitlines(keepends=True)
    for number in range(len(lines)):
        for name, replacement, replaced in changes_of_a_line(lines, number):
            changed = lines[:number] + replacement + lines[number + replaced :]
            yield f"line {number + 1}: {name}: {lines[number].strip()[:90]}", "".join(changed)


def passes(promtool, rules):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rules.yaml").write_text(rules)
        (folder / "rules-test.yaml").write_text((RULES / "rules-test.yaml").read_text())
        command = [promtool, "test", "rules", "rules-test.yaml"]
        return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0


def main(promtool, step="4"):
    promtool = os.path.abspath(promtool)
    rules = (RULES / "rules.yaml").read_text()
    if not passes(promtool, rules):
        sys.exit("the tests fail without a change: promtool test rules istio/prometheus/rules-test.yaml")
    todo = list(changes(rules))[:: int(step)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        unnoticed = [name for (name, _), ok in zip(todo, pool.map(lambda c: passes(promtool, c[1]), todo)) if ok]
    for name in unnoticed:
        print(f"no test noticed {name}")
    noticed = len(todo) - len(unnoticed)
    print(f"{noticed} of {len(todo)} changes of the rules noticed")
    sys.exit(noticed < REQUIRED * len(todo))


if __name__ == "__main__":
    main(*sys.argv[1:])
