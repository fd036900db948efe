"""Facts as tables: of text for a terminal, of HTML for a notebook."""

from html import escape
from itertools import zip_longest

from reco.display.facts import Facts

STYLE = "text-align:right;padding:1px 8px;white-space:nowrap"


def text_table(facts: Facts) -> str:
    """A line of headings, a line for each row; columns are as wide as they must be."""
    columns = [(heading, *cells) for heading, cells in facts.items()]
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def html_table(facts: Facts, title: str, note: str = "") -> str:
    """A title, a note beside it, and the table below; no style sheet, no script."""
    head = _row("th", list(facts))
    body = "".join(_row("td", row) for row in zip_longest(*facts.values(), fillvalue=""))
    table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>" if facts else ""
    return f"<div><b>{escape(title)}</b> {escape(note)}</div>{table}"


def _row(tag: str, cells: "list[str] | tuple[str, ...]") -> str:
    return "<tr>" + "".join(f'<{tag} style="{STYLE}">{escape(c)}</{tag}>' for c in cells) + "</tr>"
