"""Users and items written as text, from what is known of them and from train interactions only."""

from collections import Counter

from graphkern.csr import CSR
from graphkern.graph import Dataset, Nodes


def item_texts(items: Nodes) -> list[str]:
    """Each item as "title. name: value, value. name: value. free text".

    Interactions have no part in it: a strict-cold item has none, and its text must look like those trained on.
    """
    return [_sentences([items.title[i] if items.title else "", *_known(items, i)]) for i in range(len(items))]


def user_texts(dataset: Dataset, train: CSR, num_titles: int = 5, num_values: int = 4) -> list[str]:
    """Each user as "name: value. ... . likes NAME: value, value. likes: title, title".

    The liked values are the most frequent ones of each item attribute over the user's train items; the titles are those
    of the train items with the fewest users, which tell most about this one. Ties go to the lower item and to the value
    met first.

    Args:
        train: U x I.
    """
    num_users_of = train.t().degree().tolist()
    items, indptr, indices = dataset.items, train.indptr.tolist(), train.indices.tolist()
    texts = []
    for user in range(train.num_rows):
        liked = sorted(indices[indptr[user] : indptr[user + 1]])
        parts = _known(dataset.users, user)
        for name, values in items.attributes.items():
            count = Counter(value for item in liked for value in values[item])
            parts.append(_field(f"likes {name}", [value for value, _ in count.most_common(num_values)]))
        if items.title:
            rarest = sorted(liked, key=lambda item: num_users_of[item])[:num_titles]
            parts.append(_field("likes", [items.title[item] for item in rarest]))
        texts.append(_sentences(parts))
    return texts


def _known(nodes: Nodes, node: int) -> list[str]:
    fields = [_field(name, list(values[node])) for name, values in nodes.attributes.items()]
    return fields + [texts[node] for texts in nodes.text.values()]


def _field(name: str, values: list[str]) -> str:
    return f"{name}: {', '.join(values)}" if values else ""


def _sentences(parts: list[str]) -> str:
    return ". ".join(part for part in parts if part)
