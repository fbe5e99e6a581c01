"""Alignment losses against the dense formula."""

import pytest
import torch
import torch.nn.functional as F

from graphkern.align import TextProjection, node_alignment, shuffled_rows


def unit_rows(seed, *shape):
    return F.normalize(torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_node_alignment_is_cross_entropy_over_all_nodes():
    graph, text = unit_rows(0, 9, 5).requires_grad_(), unit_rows(1, 9, 5).requires_grad_()
    loss = node_alignment(graph, text, temperature=0.3)
    expected = F.cross_entropy(graph @ text.T / 0.3, torch.arange(9))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, (graph, text)), torch.autograd.grad(expected, (graph, text)))


def test_node_alignment_needs_equal_shapes():
    with pytest.raises(ValueError, match=r"graph is \[9, 5\] but text is \[8, 5\]"):
        node_alignment(unit_rows(0, 9, 5), unit_rows(1, 8, 5), 0.3)


def test_projection_gives_unit_rows_and_drops_only_in_training():
    projection, text = TextProjection(12, 4, dropout=0.5), unit_rows(2, 7, 12).float()
    assert [tuple(p.shape) for p in projection.parameters()] == [(8, 12), (8,), (4, 8), (4,)]
    assert not torch.equal(projection(text), projection(text))
    projection.eval()
    torch.testing.assert_close(projection(text).norm(dim=1), torch.ones(7))
    assert torch.equal(projection(text), projection(text))


def test_shuffled_rows_depend_on_the_seed_alone():
    x = torch.arange(40).view(20, 2)
    first = shuffled_rows(x, seed=3)
    assert torch.equal(first, shuffled_rows(x, seed=3))
    assert not torch.equal(first, shuffled_rows(x, seed=4))
    assert not torch.equal(first, x)
    assert torch.equal(first.sort(dim=0).values, x)
