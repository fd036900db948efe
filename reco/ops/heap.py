"""A heap of numbers, each with a row, in two arrays: of equal numbers the smaller row comes first.

In compiled code a heap of tuples, as in `heapq`, takes a second to compile.
"""

from numba import njit


@njit(cache=True, nogil=True)
def rise(key, row, size, new, new_row):  # type: ignore[no-untyped-def]
    """Put in one more, behind the `size` that there are."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if key[above] < new or (key[above] == new and row[above] <= new_row):
            break
        key[at], row[at] = key[above], row[above]
        at = above
    key[at], row[at] = new, new_row


@njit(cache=True, nogil=True)
def sink(key, row, size, new, new_row):  # type: ignore[no-untyped-def]
    """Put one in place of the first, of `size` in all."""
    at = 0
    while 2 * at + 1 < size:
        low = 2 * at + 1
        high = low + 1
        if high < size and (
            key[high] < key[low] or (key[high] == key[low] and row[high] < row[low])
        ):
            low = high
        if new < key[low] or (new == key[low] and new_row <= row[low]):
            break
        key[at], row[at] = key[low], row[low]
        at = low
    key[at], row[at] = new, new_row
