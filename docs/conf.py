"""Sphinx: MyST pages in furo; the reference is written from the code itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# Autodoc writes the annotations it finds into pydantic's BaseModel; models that FastAPI defines
# after that are refused. So it is here before autodoc is.
import fastapi  # noqa: E402, F401

from scot import __version__  # noqa: E402
from tools.reference_pages import write_all  # noqa: E402

project = "SCOT"
author = "The SCOT authors"
project_copyright = "2026, The SCOT authors. Apache License 2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
if tags.has("source"):  # type: ignore[name-defined]  # noqa: F821 - Sphinx puts tags here
    extensions.append("sphinx.ext.viewcode")  # a page for each module, two thirds of the whole time
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
default_role = "code"
# The built-in `type` in a signature, which Sphinx also finds as an attribute of two classes.
suppress_warnings = ["ref.python"]

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Source", "notes")]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = f"SCOT {release}"
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0a7d55", "color-brand-content": "#0a7d55"},
    "dark_css_variables": {"color-brand-primary": "#3ee6a0", "color-brand-content": "#3ee6a0"},
}

# Message names such as STT_ would read as links to nowhere.
NAME_WITH_UNDERSCORE = re.compile(r"(?<![`\w])(\w+)_(?![\w`])")


def escape_names(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Keep a trailing underscore of a docstring a character."""
    lines[:] = [NAME_WITH_UNDERSCORE.sub(r"\1\\_", line) for line in lines]


def leave_out(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what matplotlib puts into a class of ours: its roles are known to it alone."""
    return True if str(getattr(thing, "__module__", "")).startswith("matplotlib") else None


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", escape_names)
    app.connect("autodoc-skip-member", leave_out)


write_all(ROOT / "docs" / "reference" / "generated")
