"""Every fault that was thought of has a test named after it, or a reason in docs/threats.md."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
CASES = {
    "FS": 19, "URL": 45, "CSV": 20, "IDX": 34, "CFG": 15, "OPS": 10, "WEB": 40, "GT": 13, "FT": 8,
}  # fmt: skip


def test_every_case_is_tested_or_explained():
    tests = "\n".join(file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    tested = set(re.findall(r"\b(?:def test_)?([A-Z]+)_(\d\d)(?=_|\b)", tests))
    page = (ROOT / "docs/threats.md").read_text("utf-8")
    explained = set(re.findall(r"^\| ([A-Z]+)-(\d\d) \| .{20,} \|$", page, re.MULTILINE))
    every = {(kind, f"{n:02}") for kind, count in CASES.items() for n in range(1, count + 1)}

    assert sorted(every - tested - explained) == []
    assert sorted(explained & tested & every) == [], "these have tests by now"
