"""Many modules and style sheets as one file each: what a browser would ask for one by one.

A page is written as some sixty modules, and a line with a round trip of 40 ms brings six at a time.
`joined` puts an entry and all it imports into one module, each in a scope of its own, in the order
in which they need each other; comments and indentation stay at home. The sources are served as
they are at their own addresses, too. See docs/decisions/0048.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

IMPORT = re.compile(
    r"^(?:import \{(?P<names>[^}]*)\}|export \{[^}]*\}) from \"(?P<file>\.[^\"]+)\";[ \t]*\n?",
    re.MULTILINE,
)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|function\*?|const) (\w+))", re.MULTILINE)
_EXPORTED = re.compile(r"^export \{ ?([\w, ]*?) ?\};[ \t]*\n?", re.MULTILINE)
_FOREIGN = re.compile(r"^(?:import|export)\b.*|\bimport\(.*", re.MULTILINE)

_CODE = re.compile(
    r"""(?P<line>//[^\n]*) | (?P<block>/\*.*?\*/)
      | (?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<tick>`) | (?P<open>\{) | (?P<close>\}) | (?P<slash>/) | (?P<space>\s+)
      | (?P<word>[\w$]+) | (?P<other>[^\s\w$])""",
    re.VERBOSE | re.DOTALL,
)
_TEMPLATE = re.compile(r"(?:\\.|\$(?!\{)|[^\\`$])*(?:`|\$\{)", re.DOTALL)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/\w*")
_BEFORE_REGEX = frozenset("(,=:[!&|?{};+-*%<>~^")
_WORDS_BEFORE_REGEX = frozenset({"return", "typeof", "case", "in", "of", "delete", "void", "await"})


class PackError(ValueError):
    """A module is written in a way that cannot be joined; the text says which and how."""


def bare(source: str) -> str:
    """Return a script without its comments and indentation; texts and line ends stay.

    Raises:
        PackError: a text, a comment or a template does not end.
    """
    out: list[str] = []
    depths: list[int] = []  # braces open inside each template's ${ }
    depth, at, before = 0, 0, ""
    while at < len(source):
        found = _found(_CODE, source, at)
        kind, text = found.lastgroup, found[0]
        if kind == "slash" and _starts_regex(before):
            text = _found(_REGEX, source, at)[0]
        elif kind == "tick" or (kind == "close" and depths and depth == depths[-1]):
            if kind == "close":
                depths.pop()
            text += _found(_TEMPLATE, source, at + 1)[0]
            if text.endswith("${"):
                depths.append(depth)
        else:
            depth += {"open": 1, "close": -1}.get(kind or "", 0)
        at += len(text)
        if kind in ("line", "block"):
            text = "\n" if "\n" in text else ""
            kind = "space" if text else kind
        if kind == "space":
            text = _space(text, out)
        elif text:
            before = "{" if text.endswith("${") else text
        if text:
            out.append(text)
    if depths:
        raise PackError(
            f"line {source.count(chr(10)) + 1}: a template's ${{ does not end; close it"
        )
    return "".join(out).strip() + "\n"


def _starts_regex(before: str) -> bool:
    return not before or before[-1] in _BEFORE_REGEX or before in _WORDS_BEFORE_REGEX


def _found(pattern: re.Pattern[str], source: str, at: int) -> re.Match[str]:
    found = pattern.match(source, at)
    if found is None:
        line = source.count("\n", 0, at) + 1
        raise PackError(f"line {line}: what begins here does not end; close it")
    return found


def _space(text: str, out: list[str]) -> str:
    """One line end or one blank, none after a line end."""
    last = out[-1] if out else "\n"
    if last.endswith("\n"):
        return ""
    if "\n" not in text:
        return " "
    if last == " ":  # a comment stood between: the line ends here
        out.pop()
    return "\n"


def members(entry: Path) -> list[Path]:
    """Return an entry and all modules that it imports, each after those that it needs.

    Raises:
        OSError: one is missing.
        PackError: modules import each other in a circle.
    """
    ordered: list[Path] = []
    under_way: list[Path] = []

    def visit(path: Path) -> None:
        if path in ordered:
            return
        if path in under_way:
            circle = " -> ".join(one.name for one in (*under_way, path))
            raise PackError(f"modules import each other in a circle: {circle}")
        under_way.append(path)
        for found in IMPORT.finditer(path.read_text("utf-8")):
            visit((path.parent / found["file"]).resolve())
        under_way.pop()
        ordered.append(path)

    visit(entry.resolve())
    return ordered


def joined(modules: Sequence[Path]) -> bytes:
    """Return one module that does what these do; the last is the entry, whose exports stay.

    Raises:
        PackError: one imports or exports in a way that is not `import { a } from "./b.js"`,
            `export class`, `export function` or `export const`.
    """
    names = {path: f"$m{number}" for number, path in enumerate(modules)}
    parts: list[str] = []
    for path in modules:
        try:
            code = bare(path.read_text("utf-8"))
        except PackError as error:
            raise PackError(f"{path.name}: {error}") from error
        entry = path is modules[-1]
        parts.append(code if entry and len(modules) == 1 else _scoped(path, code, names, entry))
    return "".join(parts).encode()


def _scoped(path: Path, code: str, names: dict[Path, str], entry: bool) -> str:
    def bound(found: re.Match[str]) -> str:
        if found["names"] is None:
            raise PackError(f"{path.name}: {found[0].strip()!r}: import it first, then export it")
        asked = re.sub(r"\s+as\s+", ":", " ".join(found["names"].split()))
        there = names[(path.parent / found["file"]).resolve()]
        return f"const {{{asked}}} = {there};\n"

    code = IMPORT.sub(bound, code)
    if entry:
        _refuse(path, _EXPORTED.sub("", _EXPORT.sub("", code)))
        return code
    given = [found[1] for found in _EXPORT.finditer(code)]
    for found in _EXPORTED.finditer(code):
        given += [name.strip() for name in found[1].split(",") if name.strip()]
    code = _EXPORTED.sub("", _EXPORT.sub("", code))
    _refuse(path, code)
    return f"const {names[path]} = (() => {{\n{code}return {{{','.join(given)}}};\n}})();\n"


def _refuse(path: Path, code: str) -> None:
    foreign = _FOREIGN.search(code)
    if foreign is not None:
        raise PackError(
            f"{path.name}: {foreign[0][:60]!r} cannot be joined; write"
            ' import { a } from "./b.js", export class, function or const'
        )


def sheets(files: Sequence[Path]) -> bytes:
    """Return style sheets as one, in their order, without comments and indentation."""
    texts = [re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL) for path in files]
    return re.sub(r"\s*\n\s*", "\n", "\n".join(texts)).strip().encode() + b"\n"
