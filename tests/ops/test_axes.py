import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reco.ops.axes import principal

numbers = st.floats(-1e3, 1e3).map(lambda x: x if abs(x) > 1e-9 else 0.0)


@settings(max_examples=200, deadline=None)
@given(arrays(np.float64, (4, 5, 3), elements=numbers))
def test_axes_are_those_of_lapack(points):
    matrices = np.einsum("gni,gnj->gij", points, points)
    values, axes = principal(matrices)
    scale = np.abs(matrices).max() + 1e-300
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrices)[:, ::-1], atol=1e-12 * scale)
    np.testing.assert_allclose(axes @ axes.transpose(0, 2, 1), [np.eye(3)] * 4, atol=1e-12)
    again = np.einsum("gki,gk,gkj->gij", axes, values, axes)
    np.testing.assert_allclose(again, matrices, atol=1e-12 * scale)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=2)[:, :, None], axis=2)
    assert (largest > 0).all()


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.eye(3), np.diag([1.0, 3.0, 2.0])])
def test_what_is_diagonal_keeps_its_axes(matrix):
    values, axes = principal(matrix[None])
    order = np.argsort(-np.diag(matrix), kind="stable")
    np.testing.assert_array_equal(values[0], np.diag(matrix)[order])
    np.testing.assert_array_equal(axes[0], np.eye(3)[order])


def test_of_nothing_come_no_axes():
    values, axes = principal(np.zeros((0, 3, 3)))
    assert values.shape == (0, 3)
    assert axes.shape == (0, 3, 3)
