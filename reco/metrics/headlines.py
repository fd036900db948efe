"""The figures that count, what they should reach, and the best that is published."""

from dataclasses import dataclass
from math import inf, isfinite, isnan

from rich.table import Table

from reco.metrics.report import Report, Row, show


@dataclass(frozen=True)
class Headline:
    """label: for people. section, name: of the row. low, high: between which the value should lie.
    published: the best figure elsewhere, on other events, with its source."""

    label: str
    section: str
    name: str
    low: float = -inf
    high: float = inf
    published: str = ""

    def row(self, report: Report) -> Row | None:
        """None where the evaluation did not make it."""
        try:
            return report.row(self.section, self.name)
        except KeyError:
            return None

    def met(self, row: Row) -> bool:
        return self.low <= row.value <= self.high

    def worse_by(self, value: float, nominal: float) -> float:
        """How much farther from what is wanted: less, more, or away from the middle."""
        if isfinite(self.low) and isfinite(self.high):
            middle = (self.low + self.high) / 2
            return abs(value - middle) - abs(nominal - middle)
        return value - nominal if self.smaller_is_better else nominal - value

    @property
    def smaller_is_better(self) -> bool:
        return isfinite(self.high) or self.section.startswith("Energy")


_CHAIN, _CLASSES = "arXiv:2102.01033", "Segmentation"
_POINTS, _ENERGY, _PULLS = "Points of interest", "Energy of particles", "Uncertainties"


def _honest(label: str, name: str) -> tuple[Headline, ...]:
    return (
        Headline(f"{label}, pull width", _PULLS, f"{name}, pull width", 0.95, 1.05),
        Headline(f"{label}, 68 % coverage", _PULLS, f"{name}, 68 % coverage", 0.66, 0.70),
        Headline(f"{label}, 95 % coverage", _PULLS, f"{name}, 95 % coverage", 0.93, 0.97),
    )


HEADLINES = (
    Headline(
        "classes, macro-F1",
        _CLASSES,
        "macro-F1",
        0.97,
        published="95.6 % U-Net, 98.8 % pre-trained (Panda)",
    ),
    *(
        Headline(
            f"{kind} accuracy",
            _CLASSES,
            f"{kind} accuracy",
            least,
            published=f"{100 * least:.1f} % ({_CHAIN})",
        )
        for kind, least in (
            ("track", 0.995),
            ("low-energy", 0.981),
            ("shower", 0.977),
            ("Michel", 0.954),
            ("delta", 0.872),
        )
    ),
    Headline(
        "points, true → found, within 3 voxels",
        _POINTS,
        "true to nearest predicted, within 3 voxels",
        0.97,
        published="96.8 % (arXiv:2006.14745)",
    ),
    Headline(
        "points, found → true, within 3 voxels",
        _POINTS,
        "predicted to nearest true, within 3 voxels",
        0.97,
    ),
    Headline(
        "points, true → found, median",
        _POINTS,
        "true to nearest predicted, median",
        high=0.25,
        published="0.25 voxels (arXiv:2006.14745)",
    ),
    Headline("fragments, ARI", "Fragments", "ARI", 0.97, published=f"96.1 % ({_CHAIN})"),
    Headline("particles, ARI", "Particles", "ARI", 0.975, published="97.3 % (Panda)"),
    Headline("showers, purity", "Showers", "purity", 0.99, published="99.4 % (arXiv:2007.01335)"),
    Headline(
        "showers, efficiency", "Showers", "efficiency", 0.99, published="99.6 % (arXiv:2007.01335)"
    ),
    Headline(
        "showers, primary fragment",
        "Showers",
        "primary accuracy",
        0.995,
        published="99.8 % (arXiv:2007.01335)",
    ),
    Headline("interactions, ARI, all", "Interactions", "ARI", 0.94),
    Headline(
        "interactions, ARI, 1-5 per image",
        "Interactions",
        "ARI, 1-5 per image",
        0.99,
        published=f"99.2 % ({_CHAIN})",
    ),
    Headline(
        "interactions, ARI, above 10 per image",
        "Interactions",
        "ARI, above 10 per image",
        0.985,
        published=f"98.4 % above 20 ({_CHAIN})",
    ),
    Headline(
        "identity of primaries, accuracy, all",
        "Particle identity",
        "accuracy, all primaries",
        0.85,
    ),
    Headline(
        "identity of primaries γ e μ π p, balanced, all",
        "Particle identity",
        "balanced accuracy of γ e μ π p, all primaries",
        0.93,
    ),
    Headline(
        "identity of primaries γ e μ π p, balanced, matched",
        "Particle identity",
        "balanced accuracy of γ e μ π p, matched primaries",
    ),
    Headline(
        "vertex within 1 cm, with a charged primary",
        "Vertex",
        "within 1 cm, with a visible charged primary",
    ),
    Headline(
        "vertex within 1 cm, all in the detector",
        "Vertex",
        "within 1 cm",
        0.92,
        published="72.9 % νμ CC, 65.8 % νe CC (Wire-Cell, real-detector simulation)",
    ),
    Headline(
        "the same, interactions without a partner among the misses",
        "Vertex",
        "within 1 cm, of all found or not",
    ),
    Headline("vertex, 68 % radius, all in the detector", "Vertex", "68 % radius", high=0.4),
    Headline(
        "contained showers, a of a + b/√E",
        _ENERGY,
        "showers, contained, constant term a of a + b/sqrt(E/GeV)",
        high=0.041,
        published="4.1 % (arXiv:2007.01335)",
    ),
    Headline(
        "contained showers, b of a + b/√E",
        _ENERGY,
        "showers, contained, term b of a + b/sqrt(E/GeV)",
        published="1.4 % (arXiv:2007.01335)",
    ),
    Headline(
        "energy of electrons, contained, 300-700 MeV",
        _ENERGY,
        "electrons 300-700 MeV, contained, half-width",
    ),
    Headline(
        "energy of stopping muons",
        _ENERGY,
        "stopping muons, half-width",
        high=0.025,
        published="2-4 %",
    ),
    Headline(
        "energy of stopping protons",
        _ENERGY,
        "stopping protons, half-width",
        high=0.025,
        published="2-4 %",
    ),
    Headline(
        "energy of exiting muons above 1 m",
        _ENERGY,
        "muons above 1 m, exiting, half-width",
        high=0.12,
        published="7-17 % (MicroBooNE)",
    ),
    Headline("energy of contained interactions", "Energy of interactions", "contained, half-width"),
    *_honest("vertex", "vertex"),
    *_honest("energy of contained particles", "energy of contained particles"),
    *_honest("energy of exiting particles", "energy of exiting particles"),
    *_honest("energy of interactions", "interaction energy"),
)


def summary(report: Report) -> Table:
    """The figures that count, for a rich console; what could not be measured is left out."""
    table = Table(title=f"{report.events} events", title_justify="left")
    table.add_column("quantity")
    for name in ("value", "baseline", "from"):
        table.add_column(name, justify="right")
    for headline in HEADLINES:
        row = headline.row(report)
        if row is not None and not isnan(row.value):
            baseline = "" if row.baseline is None else show(row.baseline, row.unit)
            value = show(row.value, row.unit, row.error)
            table.add_row(headline.label, value, baseline, f"{row.count} {row.of}")
    return table
