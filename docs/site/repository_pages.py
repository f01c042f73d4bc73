"""A hook of MkDocs that makes the repository's own documents the pages of the site.

Each page keeps its path, so links that work in the repository work on the site. A source file that a document
links to becomes a page that shows it.
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
SHOWN_AS_THEY_ARE = {".md", ".png", ".svg"}
LANGUAGES = {".py": "python", ".sh": "sh", ".sbatch": "sh", ".yaml": "yaml", ".toml": "toml"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the documents, and everything in the repository that they link to."""
    waiting, known = list(DOCUMENTS), set()
    while waiting:
        path = waiting.pop()
        if path in known:
            continue
        known.add(path)
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".md":
            text = path.read_text()
            waiting += [(path.parent / target).resolve() for target in LINK.findall(text)]
            files.append(File.generated(config, name, content=LINK.sub(_page_of, text)))
        elif path.suffix in SHOWN_AS_THEY_ARE:
            files.append(File.generated(config, name, abs_src_path=str(path)))
        else:
            content, listed = _shown(path, name), InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, f"{name}.md", content=content, inclusion=listed))
    return files


def on_page_content(html: str, *, page: Page, **_: Any) -> None:
    """The API reference must have every public name."""
    if page.file.src_uri != "docs/api.md":
        return
    for module in ("__init__", "negatives", "losses/__init__", "metrics/__init__"):
        text = (ROOT / f"ndabench/{module}.py").read_text()
        (names,) = re.findall(r"^__all__ = (\[.*?\])", text, re.MULTILINE | re.DOTALL)
        for name in ast.literal_eval(names):
            if name != "__version__" and not re.search(rf'id="[\w.]+\.{name}"', html):
                raise PluginError(f"docs/api.md does not show {name} of ndabench/{module}.py")


def _page_of(link: re.Match[str]) -> str:
    return link[0] if Path(link[0]).suffix in SHOWN_AS_THEY_ARE else f"{link[0]}.md"


def _shown(path: Path, name: str) -> str:
    """A notebook as text and code, any other file as code; the search leaves both out."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        body = "\n\n".join(_fenced("".join(cell["source"]), cell["cell_type"]) for cell in cells)
    else:
        body = f"# {name}\n\n" + _fenced(path.read_text(), "code", LANGUAGES.get(path.suffix, "text"))
    return f"---\nsearch: {{exclude: true}}\n---\n\n{body}\n"


def _fenced(text: str, kind: str, language: str = "python") -> str:
    return text if kind == "markdown" else f"````{language}\n{text.rstrip()}\n````"
