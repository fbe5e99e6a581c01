"""The configuration of an experiment, and its file."""

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from graphkern.align import TextConfig
from graphkern.graph import DataConfig, SplitConfig
from graphkern.rank.model import AlignmentConfig, ModelConfig
from graphkern.rank.trainer import TrainConfig


class ExperimentConfig(BaseModel):
    """Everything that determines a run.

    seeds: one training of each variant a seed; the split has its own seed and stays the same.
    item_attribute: what the report colors items by and measures a second diversity by; None leaves both out.
    output: the run's folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataConfig
    split: SplitConfig
    text: TextConfig
    model: ModelConfig = Field(default_factory=ModelConfig)
    alignment: AlignmentConfig = Field(default_factory=AlignmentConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    item_attribute: str | None = None
    output: Path

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError(f"seeds must be different and not negative but are {seeds}")
        return seeds

    @model_validator(mode="after")
    def _item_attribute_exists(self) -> Self:
        items = self.data.items
        known = [*items.attributes, *items.list_attributes] if items else []
        if self.item_attribute is not None and self.item_attribute not in known:
            raise ValueError(f"item_attribute is {self.item_attribute!r} but the attributes of items are {known}")
        return self


def save_config(config: ExperimentConfig) -> None:
    """Write config.yaml into the run's folder."""
    import yaml

    config.output.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(json.loads(config.model_dump_json()), sort_keys=False, allow_unicode=True)
    (config.output / "config.yaml").write_text(text, encoding="utf-8")


def load_config(run: Path) -> ExperimentConfig:
    """The configuration of a run, with the folder's present place as its output.

    Raises: FileNotFoundError if run is no run's folder; ValueError if its config.yaml is not valid.
    """
    import yaml

    path = run / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{run} is not a run: it has no config.yaml")
    try:
        return ExperimentConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) | {"output": run})
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        raise ValueError(f"{path} is not valid: {error}") from error
