"""What the pages of the documentation tell a reader to type."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# ([\w.]+\.(?:yaml|py))\b")
LOOP = {"for", "do", "done", "export", "then", "fi"}


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def files(page: Path) -> dict[str, str]:
    """Blocks that begin with the name of the file that they are."""
    texts = [text for language in ("yaml", "python") for text in blocks(page, language)]
    return {found[1]: text for text in texts if (found := FILE.match(text))}


def commands(page: Path) -> list[list[str]]:
    """The words of each command of the bash blocks, without loops and variables."""
    return [words for text in blocks(page, "bash") for words in _commands(text)]


def _commands(text: str) -> Iterator[list[str]]:
    text = re.sub(r"\$\(\(.*?\)\)", "1", text.replace("\\\n", " "))  # arithmetic, long lines
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split, lexer.commenters = True, "#"
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";&|"):
                if command and command[0] not in LOOP:
                    yield command
                command = []
            elif word not in LOOP and not re.fullmatch(r"\$[A-Z_]+", word):
                command.append(word)


def mentions(page: Path) -> list[str]:
    """Commands of reco within a sentence."""
    return re.findall(r"`(reco [^`]+)`", re.sub(r"\s+", " ", FENCE.sub("", page.read_text())))
