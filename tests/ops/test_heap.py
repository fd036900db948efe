import heapq

import numpy as np

from reco.ops.heap import rise, sink


def test_as_heapq():
    rng = np.random.default_rng(0)
    key, row = np.empty(300), np.empty(300, np.int64)
    size, wanted = 0, []
    for step in range(900):
        if size and (size == len(key) or rng.random() < 0.4 or step > 600):
            assert (key[0], row[0]) == heapq.heappop(wanted)
            size -= 1
            sink(key, row, size, key[size], row[size])
        elif step <= 600:
            new = float(rng.integers(5)), int(rng.integers(1000))  # many equal numbers
            rise(key, row, size, *new)
            heapq.heappush(wanted, new)
            size += 1
    assert size == len(wanted) == 0
