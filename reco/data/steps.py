"""Steps of a trajectory as points."""

import numpy as np

from reco.data.ragged import Array


def split(start: Array, end: Array, spacing: float) -> tuple[Array, Array]:
    """(N, 3) ends of steps, cm -> (P, 3) points in their equal parts, and (P,) the step of each.

    A step has as many parts as make none longer than spacing; a point is the middle of a part.
    Points of one step stand together, in order from start to end. A step that is not finite has
    one point, not finite either.
    """
    start, end = start.astype(float), end.astype(float)
    length = np.nan_to_num(np.linalg.norm(end - start, axis=1), nan=0.0, posinf=0.0)
    n = np.maximum(np.ceil(length / spacing - 1e-3), 1).astype(int)
    step = np.repeat(np.arange(len(start)), n)
    along = (np.arange(len(step)) - np.repeat(np.cumsum(n) - n, n) + 0.5) / n[step]
    return start[step] + along[:, None] * (end - start)[step], step
