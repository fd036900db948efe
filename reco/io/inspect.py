"""A Description as lines of text."""

from reco.data.products import Quantity
from reco.io.base import Description

QUANTITY = {Quantity.ENERGY: "energy", Quantity.CHARGE: "charge"}


def inspect_lines(description: Description) -> list[str]:
    """What `reco inspect` prints, a line each, without colours."""
    lines = [
        f"file      {description.path}",
        f"format    {description.format}",
        f"events    {description.n_events}",
        f"hits      {QUANTITY[description.quantity]}",
        f"truth     {', '.join(description.truth) or 'none'}",
    ]
    said = {"units": description.units, "extent": description.extent}
    lines += [f"{name:<9} {text}" for name, text in said.items() if text]
    width = max((len(role) for role, _ in description.branches), default=0)
    for i, (role, branch) in enumerate(description.branches):
        lines.append(f"{'branches' if i == 0 else '':<9} {role:<{width}}  {branch}")
    for i, note in enumerate(description.notes):
        lines.append(f"{'notes' if i == 0 else '':<9} {note}")
    return lines
