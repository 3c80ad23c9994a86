"""Sphinx's settings of the site; `python notebooks/site` calls it on the pages that it lays out first."""

import re
from importlib import import_module

from docutils.nodes import SkipNode
from docutils.utils.math import latex2mathml
from sphinx.util.typing import ExtensionMetadata

project = "MaskOpt Study"
author = "The MaskOpt Study authors"
copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["static"]
default_role = "obj"

# Notebooks are shown as they ran; nothing is executed here.
nb_execution_mode = "off"
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# No page needs a script of a notebook.
nb_mime_priority_overrides = [("html", "application/javascript", None)]

autodoc_default_options = {"members": True, "ignore-module-all": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_docstring_signature = False
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = project
html_context = {"default_mode": "auto"}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_sidebars = {"index": [], "masks": [], "references": [], "figures/index": []}
html_theme_options = {
    "navbar_align": "left",  # else the menu takes two lines on most screens
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "secondary_sidebar_items": {"**": ["page-toc"], "masks": [], "figures/index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def _show_math(writer, node, *, block: bool = False) -> None:
    """Formulae as MathML, which browsers draw themselves: no script, no fonts, no network."""
    formula = latex2mathml.tex2mathml(node.astext(), as_block=block)
    writer.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise SkipNode


def _read_as_prose(app, what, name, obj, options, lines) -> None:
    """A parameter's text below its name, and what is returned as one paragraph: here nothing of it is a type.

    numpydoc takes what follows a colon for a type, and each line of a result for a result of its own.
    """
    section, out = "", []
    for i, line in enumerate(lines):
        if i + 1 < len(lines) and line and re.fullmatch(r"-{3,}", lines[i + 1]):
            section = line
        starts = line[:1].strip() and line != section and not line.startswith("---")
        if starts and section in ("Parameters", "Attributes", "Raises") and " : " in line:
            entry, _, text = line.partition(" : ")
            out += [entry, f"    {text}"]
        elif starts and section in ("Returns", "Yields") and out and out[-1][:1].strip() and "---" not in out[-1]:
            out[-1] += f" {line}"
        else:
            out.append(line)
    lines[:] = out


def _through_the_door(app, env, node, shown):
    """Link a name to where it is defined when the text names the package that offers it."""
    if node.get("refdomain") != "py" or not (name := node["reftarget"]).startswith("maskopt_lib."):
        return None
    parts = name.split(".")
    for n in range(len(parts) - 1, 0, -1):
        try:
            found = import_module(".".join(parts[:n]))
            for part in parts[n:]:
                found = getattr(found, part)
        except (ImportError, AttributeError):
            continue
        home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
        return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, shown)
    return None


def setup(app) -> ExtensionMetadata:
    app.add_html_math_renderer(
        "mathml",
        (_show_math, None),
        (lambda writer, node: _show_math(writer, node, block=True), None),
    )
    app.connect("missing-reference", _through_the_door)
    app.connect("autodoc-process-docstring", _read_as_prose, priority=400)
    # Before numpydoc's own, which fails at imported classes of compiled modules; signatures are those of the code.
    app.connect("autodoc-process-signature", lambda *_: False, priority=1)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


html_math_renderer = "mathml"
