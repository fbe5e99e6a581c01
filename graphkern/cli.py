"""The command line: `graphkern data | train | evaluate | recommend | bench | doctor`."""

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from graphkern.rank.config import ExperimentConfig
    from graphkern.rank.recommend import Recommendation

# Each command imports what it needs when it runs, so that `doctor` works without the extras.


def main(args: Sequence[str] | None = None) -> int:
    """Run a command. Returns: 0, or 2 after printing one line for what the user can mend."""
    given = list(sys.argv[1:] if args is None else args)
    if not given or given[0] in ("-h", "--help"):
        print(_usage())
        return 0
    name, *rest = given
    if name not in _COMMANDS:
        return _fail(f"unknown command {name!r}: one of {', '.join(_COMMANDS)}", "graphkern")
    logger = logging.getLogger("graphkern")
    logger.setLevel(logging.INFO)
    logger.handlers = [logging.StreamHandler()]
    command, _ = _COMMANDS[name]
    try:
        command(rest)
    except ModuleNotFoundError as error:
        return _fail(f"{error}; pip install 'graphkern[recsys]'", f"graphkern {name}")
    except (argparse.ArgumentError, ImportError, KeyError, OSError, RuntimeError, ValueError) as error:
        return _fail(_one_line(error), f"graphkern {name}")
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on from the last epoch", f"graphkern {name}")
    return 0


def _data(args: list[str]) -> None:
    parser = _parser("data")
    parser.add_argument("name", help="ml-100k (research use only) or minilm (the text encoder)")
    parser.add_argument("--out", type=Path, required=True, help="folder to put it in")
    options = parser.parse_args(args)
    from graphkern.graph import fetch

    print(fetch(options.name, options.out))


def _train(args: list[str]) -> None:
    config = _parse_config(args)
    from graphkern.rank.experiment import run_experiment
    from graphkern.rank.recommend import Serving
    from graphkern.rank.report import write_report
    from graphkern.rank.table import to_markdown

    experiment, result = run_experiment(config)
    report = config.output / "report.html"
    write_report(report, experiment, result, Serving.load(config))
    print(to_markdown(result.rows))
    print(report)


def _evaluate(args: list[str]) -> None:
    parser = _parser("evaluate")
    _add_run(parser)
    options = parser.parse_args(args)
    from graphkern.rank.config import load_config
    from graphkern.rank.experiment import evaluate_run
    from graphkern.rank.table import to_markdown

    print(to_markdown(evaluate_run(load_config(options.run))), end="")


def _recommend(args: list[str]) -> None:
    parser = _parser("recommend")
    _add_run(parser)
    parser.add_argument("--user", required=True, help="the user's id in the dataset")
    parser.add_argument("--k", type=int, default=10, help="how many items")
    parser.add_argument("--cold", action="store_true", help="rank the strict-cold items instead, by their text")
    options = parser.parse_args(args)
    from graphkern.rank.config import load_config
    from graphkern.rank.recommend import Serving

    serving = Serving.load(load_config(options.run))
    user = serving.dataset.users.index(options.user)
    for rank, found in enumerate(serving.recommend(user, options.k, options.cold), start=1):
        print(_describe(rank, found))


def _bench(args: list[str]) -> None:
    parser = _parser("bench")
    parser.add_argument("suite", help="ops, layers, scaling, sampling or ranking")
    parser.add_argument("--smoke", action="store_true", help="tiny inputs, once each: checks, times nothing")
    options = parser.parse_args(args)
    file = Path("benchmarks") / f"bench_{options.suite}.py"
    if not file.exists():
        raise FileNotFoundError(f"{file} is not here: run it in a checkout of graphkern, where benchmarks/ is")
    import pytest

    os.environ["GRAPHKERN_BENCH_SMOKE"] = "1" if options.smoke else ""
    timing = ["--benchmark-disable"] if options.smoke else ["--benchmark-quiet"]
    if pytest.main([str(file), "-q", *timing]) != 0:
        raise RuntimeError(f"{file} failed")


def _doctor(args: list[str]) -> None:
    parser = _parser("doctor")
    parser.add_argument("--ops", action="store_true", help="what is written for each op, and what tested it")
    options = parser.parse_args(args)
    from graphkern import _doctor

    _doctor.main(options.ops)


_COMMANDS: dict[str, tuple[Callable[[list[str]], None], str]] = {
    "data": (_data, "download a dataset or a text encoder"),
    "train": (_train, "train and compare models; write table.md and report.html"),
    "evaluate": (_evaluate, "measure a finished run anew and print its table"),
    "recommend": (_recommend, "recommend items to a user and say why"),
    "bench": (_bench, "time ops, layers, scaling, sampling or ranking beside their peers, in a checkout"),
    "doctor": (_doctor, "print versions, and who serves each op"),
}


def _parse_config(args: list[str]) -> "ExperimentConfig":
    """--config FILE, then overrides such as --model.dim 32, later ones first."""
    from jsonargparse import ArgumentParser

    from graphkern.rank.config import ExperimentConfig

    parser = ArgumentParser(prog="graphkern train", description=_COMMANDS["train"][1], exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file; options after it override it")
    parser.add_class_arguments(ExperimentConfig)
    given = parser.parse_args(args).as_dict()
    del given["config"]
    return ExperimentConfig.model_validate(given)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parser(name: str) -> _Parser:
    return _Parser(prog=f"graphkern {name}", description=_COMMANDS[name][1])


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run, such as runs/ml-100k")


def _usage() -> str:
    lines = [f"  {name:<10} {words}" for name, (_, words) in _COMMANDS.items()]
    return "\n".join(["usage: graphkern COMMAND [options]; `graphkern COMMAND --help` lists them", "", *lines])


def _describe(rank: int, found: "Recommendation") -> str:
    reason = found.reason
    lines = [f"{rank:>3}. {found.title}  (item {found.item}, score {found.score:.3f})"]
    if reason.items:
        lines.append("     like your " + ", ".join(f"{name} ({value:.2f})" for name, value in reason.items))
    if reason.users:
        lines.append(
            "     users near you have it: " + ", ".join(f"{name} ({value:.2f})" for name, value in reason.users)
        )
    lines.append(f"     text (match {reason.text_match:.2f}, rank {reason.text_rank}): {reason.text}")
    return "\n".join(lines)


def _one_line(error: Exception) -> str:
    """The message of an error without line breaks, and without what pydantic adds for programmers."""
    if hasattr(error, "errors"):  # a pydantic ValidationError
        parts = (
            ".".join(map(str, one["loc"])) + ": " + one["msg"].removeprefix("Value error, ") for one in error.errors()
        )
        return "; ".join(part.removeprefix(": ") for part in parts)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = re.sub(r"\[type=.*?\]|For further information visit \S+", "", text, flags=re.DOTALL)
    return " ".join(text.split())


def _fail(message: str, program: str) -> int:
    print(f"{program}: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
