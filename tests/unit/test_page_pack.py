"""Modules joined into one: the same program, in the order it needs, and plain words where not."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
import zstandard

from scot_dashboard.files import ROOT, Files
from scot_dashboard.pack import PackError, bare, joined, members, sheets


def _written(folder: Path, **modules: str) -> dict[str, Path]:
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return {name: folder / f"{name}.js" for name in modules}


@pytest.mark.parametrize(
    "kept",
    [
        'const a = "// not /* a comment */";',
        "const a = 'it\\'s // here';",
        "const a = `// ${ `/* ${b} */` }  two  blanks`;",
        "const a = `a\n    // its own line\n  b`;",
        "const a = `${ { b: `}` }.b } // c`;",
        "const a = /[\"'`]/.exec(b) ?? /[/]\\/\\*/g;",
        "const a = b / c / d;",
        "const a = (b) / 2; const c = d[1] / 3;",
    ],
)
def test_what_only_looks_like_a_comment_stays(kept: str) -> None:
    assert bare(kept) == kept + "\n"


def test_comments_and_indentation_go_and_line_ends_stay() -> None:
    source = """/** What it is. */

    export function a(/** @type {number} */ b) { // why
      /* long
         words */ return b / 2
      // the end
    }
"""
    assert bare(source) == "export function a( b) {\nreturn b / 2\n}\n"


@pytest.mark.parametrize("open_", ["const a = `b", "const a = `${b", 'const a = /b"\n'])
def test_what_does_not_end_is_said_with_its_line(open_: str) -> None:
    with pytest.raises(PackError, match="line 2"):
        bare("const first = 1;\n" + open_)


def test_a_module_comes_once_and_after_what_it_needs(tmp_path: Path) -> None:
    at = _written(
        tmp_path,
        low="export const LOW = 1;\nexport function* walk() {}\n",
        mid='import {\n  LOW as least,\n  walk,\n} from "./low.js";\nexport class Mid {}\n'
        "const later = 2;\nexport { later };\n",
        top='import { Mid } from "./mid.js";\nimport { LOW } from "./low.js";\n'
        "export const top = new Mid(LOW);\nawait 1;\n",
    )
    ordered = members(at["top"])
    assert [path.stem for path in ordered] == ["low", "mid", "top"]
    assert joined(ordered).decode() == (
        "const $m0 = (() => {\nconst LOW = 1;\nfunction* walk() {}\nreturn {LOW,walk};\n})();\n"
        "const $m1 = (() => {\nconst {LOW:least, walk,} = $m0;\nclass Mid {}\nconst later = 2;\n"
        "return {Mid,later};\n})();\n"
        "const {Mid} = $m1;\nconst {LOW} = $m0;\nexport const top = new Mid(LOW);\nawait 1;\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        "export default 1;",
        "export let a = 1;",
        'export { a } from "./low.js";',
        'import * as low from "./low.js";',
        'const low = await import("./low.js");',
    ],
)
def test_what_cannot_be_joined_is_named_with_the_way_out(tmp_path: Path, line: str) -> None:
    at = _written(
        tmp_path, low="export const a = 1;\n", mid=line, top='import { a } from "./mid.js";'
    )
    with pytest.raises(PackError, match=r"mid\.js.*(cannot be joined|import it first)"):
        joined([at["low"], at["mid"], at["top"]])


def test_a_circle_of_modules_is_named(tmp_path: Path) -> None:
    at = _written(tmp_path, a='import { b } from "./b.js";\n', b='import { a } from "./a.js";\n')
    with pytest.raises(PackError, match=r"circle: a\.js -> b\.js -> a\.js"):
        members(at["a"])


def test_every_page_and_worker_of_ours_can_be_joined() -> None:
    files = Files(ROOT)
    assert {"js/wall.js", "js/feed/worker.js", "js/feed/traces.js"} <= files.entries
    for name in files.entries:
        modules = members(ROOT / name)
        text = joined(modules).decode()
        assert not re.search(r"^import\b|\bimport\(", text, re.MULTILINE), name
        asset = files.get(name)
        assert asset is not None
        assert asset.data.decode() == text


def test_a_page_asks_for_one_sheet_with_all_its_rules_in_their_order() -> None:
    files = Files(ROOT)
    page, sheet = files.get("wall.html"), files.get("css/wall.page.css")
    assert page is not None
    assert sheet is not None
    assert re.findall(r'stylesheet" href="([^"]+)"', page.data.decode()) == [
        "/static/css/wall.page.css"
    ]
    linked = re.findall(r'stylesheet" href="/static/([^"]+)"', (ROOT / "wall.html").read_text())
    assert len(linked) > 3
    assert sheet.data == sheets([ROOT / name for name in linked])
    assert b"/*" not in sheet.data
    assert files.get("css/none.page.css") is None


def test_a_part_that_changes_changes_what_is_sent(tmp_path: Path) -> None:
    at = _written(tmp_path, low="export const LOW = 1;\n", top='import { LOW } from "./low.js";\n')
    (tmp_path / "a.html").write_text('<script type="module" src="/static/top.js"></script>')
    files = Files(tmp_path)
    before = files.get("top.js")
    assert files.get("top.js") is before
    at["low"].write_text("export const LOW = 1234;\n")
    after = files.get("top.js")
    assert after is not None
    assert b"1234" in after.data


def test_a_module_that_cannot_be_joined_is_sent_as_it_is(tmp_path: Path) -> None:
    text = 'import * as low from "./low.js";\nlow.go();\n'
    _written(tmp_path, low="export default 1;\n", top=text)
    (tmp_path / "a.html").write_text('<script type="module" src="/static/top.js"></script>')
    asset = Files(tmp_path).get("top.js")
    assert asset is not None
    assert asset.data.decode() == text


def test_what_a_browser_reads_decides_how_small_it_comes() -> None:
    asset = Files(ROOT).get("js/wall.js")
    assert asset is not None
    small, how = asset.encoded("gzip, deflate, br, zstd")
    assert how == "zstd"
    assert zstandard.ZstdDecompressor().decompress(small) == asset.data
    assert asset.encoded("gzip, deflate") == (asset.packed, "gzip")
    assert asset.encoded("") == (asset.data, "")
    assert asset.packed is not None
    assert len(small) < len(asset.packed) < len(asset.data)


def test_warming_makes_every_entry_ready(tmp_path: Path) -> None:
    _written(tmp_path, top="export const TOP = 1;\n")
    (tmp_path / "a.html").write_text('<script type="module" src="/static/top.js"></script>')
    files = Files(tmp_path)
    thread = threading.Thread(target=files.warm)
    thread.start()
    thread.join()
    (tmp_path / "top.js").rename(tmp_path / "gone.js")
    assert files.get("top.js") is None
    (tmp_path / "gone.js").rename(tmp_path / "top.js")
    assert files.get("top.js") is not None
