"""A small dataset on disk: four users, five items, two behaviors, one interaction repeated."""

from pathlib import Path

import pytest

from graphkern.graph import DataConfig, InteractionSource, NodeSource

INTERACTIONS = """user,item,stars,when,kind
ann,i1,5,10,view
ann,i2,3,20,view
ann,i1,4,30,buy
bob,i1,2,5,view
bob,i3,5,6,view
ann,i1,1,2,view
cat,i4,4,7,buy
ann,i3,4,40,view
bob,i2,4,8,buy
"""
ITEMS = """id,name,genres,year,about
i1,First,Drama|War,1990,a war
i2,Second,Drama,1991,
i3,Third,,1990,third of its kind
i4,"Fourth, the",War|Drama|War,,
i5,Fifth,Comedy,2000,never seen
"""
USERS = """id,age
ann,30
bob,41
cat,30
dan,
"""


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    for name, content in (("interactions", INTERACTIONS), ("items", ITEMS), ("users", USERS)):
        (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
    return DataConfig(
        name="small",
        interactions=InteractionSource(
            path=tmp_path / "interactions.csv", user="user", item="item", rating="stars", time="when", behavior="kind"
        ),
        items=NodeSource(
            path=tmp_path / "items.csv",
            id="id",
            title="name",
            attributes=["year"],
            list_attributes={"genres": "|"},
            text=["about"],
        ),
        users=NodeSource(path=tmp_path / "users.csv", id="id", attributes=["age"]),
    )
