#!/usr/bin/env python3
"""Refuses a Rust dependency whose licence is not on the list. Works offline, from Cargo.lock."""
import json
import re
import subprocess
import sys

ALLOWED = {
    "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0",
    "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "OpenSSL", "Unicode-3.0", "Unlicense", "Zlib", "0BSD",
}


def acceptable(expression: str) -> bool:
    """Whether an SPDX expression can be met with allowed licences: `or` needs one side, `and` both."""
    expression = expression.replace("/", " OR ").strip()
    while expression.startswith("(") and expression.endswith(")") and balanced(expression[1:-1]):
        expression = expression[1:-1].strip()
    for word, meet in ((" OR ", any), (" AND ", all)):
        parts = split(expression, word)
        if len(parts) > 1:
            return meet(acceptable(part) for part in parts)
    return expression in ALLOWED


def balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0


def split(expression: str, word: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for match in re.finditer(rf"[()]|{word}", expression):
        if match.group() == "(":
            depth += 1
        elif match.group() == ")":
            depth -= 1
        elif depth == 0:
            parts.append(expression[start:match.start()])
            start = match.end()
    return parts + [expression[start:]]


def main() -> int:
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["packages"]
    foreign = [package for package in packages if package["source"]]
    refused = [p for p in foreign if not acceptable(p["license"] or "none")]
    for package in refused:
        print(f'{package["name"]} {package["version"]}: licence {package["license"]} is not on the list of dev/licenses.py')
    print(f"licences: {len(foreign)} dependencies, {len(refused)} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
