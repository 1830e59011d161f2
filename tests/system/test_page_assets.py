"""The page's files: nothing foreign, nothing missing, small, licensed and as they were checked."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from scot_dashboard.files import Files

STATIC = Path(__file__).parents[2] / "dashboard" / "scot_dashboard" / "static"
BUDGET_B = 200_000
REQUESTS = 6
SCRIPTS = sorted(STATIC.glob("js/**/*.js"))
IMPORT = re.compile(r"^(?:import|export)\s[^;]*?from\s+\"([^\"]+)\"", re.MULTILINE)


def _reached(start: Path) -> set[Path]:
    seen: set[Path] = set()
    left = [start]
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        left += [(path.parent / name).resolve() for name in IMPORT.findall(path.read_text("utf-8"))]
    return seen


@pytest.mark.parametrize("page", ["wall", "consult", "engineer", "door"])
def test_the_first_load_stays_within_its_budget_and_its_requests(page: str) -> None:
    files = Files(STATIC)
    html = files.get(f"{page}.html")
    assert html is not None
    named = re.findall(r"(?:href|src)=\"/static/([^\"]+)\"", html.data.decode())
    # What the page's scripts start at once, whether or not its head names it.
    loaded = {*named, "js/feed/worker.js", "js/feed/traces.js", "js/nav/worker.js"}
    sent = [html, *(asset for name in loaded if (asset := files.get(name)) is not None)]
    assert len(sent) == 1 + len(loaded), "a page names a file that is not there"
    size = sum(len(asset.encoded("gzip")[0]) for asset in sent)
    assert size <= BUDGET_B, f"{page} loads {size} B gzipped, {BUDGET_B} are allowed"
    assert len(named) <= REQUESTS, f"{page} asks for {len(named)} files before it can run"


WORD = re.compile(r"^  (\w+): \[\"(.*?)\", \"(.*?)\"\],$", re.MULTILINE)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
SAME_IN_BOTH = {"?"}


def test_every_word_is_there_in_english_and_in_japanese_and_is_used() -> None:
    lists = sorted((STATIC / "js" / "words").glob("*.js"))
    blocks = [path.read_text("utf-8").split(" = {\n")[1].split("\n};")[0] for path in lists]
    words = {key: (en, ja) for block in blocks for key, en, ja in WORD.findall(block)}
    lines = sum(len(block.splitlines()) for block in blocks)
    assert len(words) == lines, "each word on a line of its own, once in all the lists"
    for key, (en, ja) in words.items():
        assert en, key
        assert not JAPANESE.search(en), key
        assert JAPANESE.search(ja) or en in SAME_IN_BOTH, f"{key} is not in Japanese: {ja}"
        assert en.count("{}") == ja.count("{}"), key
    text = "".join(path.read_text("utf-8") for path in SCRIPTS if path not in lists)
    asked = set(re.findall(r"word\(\"(\w+)\"\)", text))
    assert not asked - set(words), "asked for and not there"
    unused = {key for key in words if f'"{key}"' not in text and not _composed(key)}
    assert not unused, "there and asked for by nobody"


def _composed(key: str) -> bool:
    """Whether a key is put together where it is used: say_live, filterHi, a note's tool."""
    return key == "chapter" or key.startswith(("say_", "state_", "filter", "signals"))


def test_every_import_is_a_file_of_ours() -> None:
    for script in SCRIPTS:
        for name in IMPORT.findall(script.read_text("utf-8")):
            assert name.startswith("."), f"{script.name} imports {name}"
            assert (script.parent / name).is_file(), f"{script.name} imports {name}"


def test_every_script_is_reached_from_a_page() -> None:
    entries = [
        "wall.js",
        "consult.js",
        "engineer.js",
        "door.js",
        "feed/worker.js",
        "feed/traces.js",
        "nav/worker.js",
    ]
    reached = set().union(*(_reached((STATIC / "js" / entry).resolve()) for entry in entries))
    left_over = {path.name for path in SCRIPTS} - {path.name for path in reached}
    assert left_over == {"types.js"}, "types.js holds only types; the others nobody loads"


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in [*SCRIPTS, *STATIC.glob("*.html"), *STATIC.glob("css/*.css")]:
        text = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
        foreign = [
            url
            for url in re.findall(r"(?:https?|wss?)://[\w./-]+", text)
            if "www.w3.org" not in url
        ]
        assert not foreign, f"{path.name} names {foreign}"


def test_the_font_is_the_one_its_readme_describes() -> None:
    readme = (STATIC / "fonts" / "README.md").read_text("utf-8")
    font = STATIC / "fonts" / "inter-latin.woff2"
    assert hashlib.sha256(font.read_bytes()).hexdigest() in readme
    assert font.stat().st_size <= 120_000
    assert "SIL Open Font License" in (STATIC / "fonts" / "LICENSE-Inter.txt").read_text("utf-8")


def test_no_module_is_too_long() -> None:
    long = {p.name: n for p in SCRIPTS if (n := len(p.read_text("utf-8").splitlines())) > 450}
    assert not long
