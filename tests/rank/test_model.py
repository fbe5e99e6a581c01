"""The recommender's embeddings and losses against dense formulas."""

import pytest
import torch
import torch.nn.functional as F

from graphkern.graph.pairs import sorted_csr
from graphkern.rank.model import AlignmentConfig, ModelConfig, Recommender

NUM_USERS, NUM_ITEMS, NUM_WARM = 12, 10, 7


def make(loss="softmax", l2=0.0, **alignment) -> Recommender:
    """Items 7 to 9 and user 11 have no train interactions."""
    random = torch.Generator().manual_seed(0)
    taken = torch.rand(NUM_USERS, NUM_ITEMS, generator=random) < 0.5
    taken[:NUM_WARM, :NUM_WARM] |= torch.eye(NUM_WARM, dtype=torch.bool)
    taken[:, NUM_WARM:] = taken[11] = False
    train = sorted_csr(*torch.nonzero(taken, as_tuple=True), NUM_USERS, NUM_ITEMS)
    texts = (torch.randn(count, 8, generator=random) for count in (NUM_USERS, NUM_ITEMS))
    torch.manual_seed(0)
    return Recommender(ModelConfig(dim=4, loss=loss, l2=l2), AlignmentConfig(**alignment), train, *texts)


def batch(model):
    return model.train_pairs.row_index()[::2], model.train_pairs.indices[::2]


def test_graph_embeddings_are_lightgcn():
    model = make()
    graph = torch.zeros(NUM_USERS + NUM_ITEMS, NUM_USERS + NUM_ITEMS)
    users, items = model.train_pairs.row_index(), NUM_USERS + model.train_pairs.indices
    graph[users, items] = graph[items, users] = 1
    scale = graph.sum(1).clamp(min=1).rsqrt()
    graph = scale[:, None] * graph * scale
    x = model.encoder.embedding.weight
    expected = F.normalize(x + graph @ x + graph @ graph @ x, dim=1)
    torch.testing.assert_close(torch.cat(model.graph_embeddings()), expected)


def test_nodes_without_interactions_are_ranked_by_their_text():
    model = make().train()
    user, item = model.embeddings()
    assert model.training
    model.eval()
    (user_graph, item_graph), (user_text, item_text) = model.graph_embeddings(), model.text_embeddings()
    torch.testing.assert_close(user, torch.cat([user_graph[:11], user_text[11:]]))
    torch.testing.assert_close(item, torch.cat([item_graph[:NUM_WARM], item_text[NUM_WARM:]]))


def test_softmax_is_over_the_warm_items():
    model = make(weight=0)
    users, items = batch(model)
    user, item = model.graph_embeddings()
    ranking, alignment = model(users, items)
    expected = F.cross_entropy(user[users] @ item[:NUM_WARM].T / model.config.temperature, items)
    torch.testing.assert_close(ranking, expected)
    assert alignment == 0


@pytest.mark.parametrize("loss", ["bpr", "bce"])
def test_pairwise_losses(loss):
    model = make(loss, l2=0.1, weight=0)
    users, items = batch(model)
    user, item = model.graph_embeddings()
    torch.manual_seed(1)
    ranking, _ = model(users, items)
    torch.manual_seed(1)
    others = torch.randint(NUM_WARM, items.shape)
    positive, negative = ((user[users] * item[chosen]).sum(1) / 0.15 for chosen in (items, others))
    x = model.encoder.embedding.weight
    length = sum(x[rows].square().sum() for rows in (users, NUM_USERS + items, NUM_USERS + others)) / len(users)
    if loss == "bpr":
        expected = -torch.log(torch.sigmoid(positive - negative)).mean()
    else:
        expected = -(torch.log(torch.sigmoid(positive)) + torch.log(1 - torch.sigmoid(negative))).mean()
    torch.testing.assert_close(ranking, expected + 0.1 * length)


def test_alignment_covers_all_users_and_warm_items():
    model = make(dropout=0.0, batch_size=100)
    _, alignment = model(*batch(model))
    (user, item), (user_text, item_text) = model.graph_embeddings(), model.text_embeddings()
    of_users = F.cross_entropy(user @ user_text.T / 0.2, torch.arange(NUM_USERS))
    of_items = F.cross_entropy(item[:NUM_WARM] @ item_text[:NUM_WARM].T / 0.2, torch.arange(NUM_WARM))
    torch.testing.assert_close(alignment, of_users + of_items)


@pytest.mark.parametrize("loss", ["softmax", "bpr", "bce"])
def test_gradients_reach_every_parameter_and_are_reproducible(loss):
    gradients = []
    for _ in range(2):
        model = make(loss)
        torch.manual_seed(2)
        sum(model(*batch(model))).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(bool(gradient.any()) for gradient in gradients[0])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_errors():
    model = make()
    none = torch.empty(0, dtype=torch.int64)
    empty = sorted_csr(none, none, 2, 2)
    with pytest.raises(ValueError, match="no train interactions"):
        Recommender(ModelConfig(), AlignmentConfig(), empty, torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="12 user and 9 item texts for 12 users and 10 items"):
        Recommender(ModelConfig(), AlignmentConfig(), model.train_pairs, model.user_text, model.item_text[:9])
