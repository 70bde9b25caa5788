"""The tables of the downstream tasks: their columns, their export in the Hub's layout, the base of their builders."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, List, Value
from datasets.builder import Key
from datasets.fingerprint import Hasher
from filelock import FileLock

from .files import sha256_of
from .task_card import TaskCard, card_text


INFO_FILE_NAME = "info.json"
ROWS_PER_FILE = 500_000

TASKS = ("single_label_classification", "multi_label_classification", "regression", "token_classification")

_OPTIONAL = {
    "alt_sequence": Value("string"),
    "chrom": Value("string"),
    "start": Value("int32"),
    "end": Value("int32"),
    "strand": Value("string"),
    "id": Value("string"),
    "cell_type": Value("string"),
    "region_ids": List(Value("int32")),
    "accessibility": List(Value("float32")),
    "anchor": Value("int32"),
}
PLACE = ("chrom", "start", "end", "strand")
CONTEXT = ("cell_type", "region_ids", "accessibility", "anchor")

# The config `regions` of a data set: its rows are what `region_ids` counts.
REGION_FEATURES = Features(
    {"chrom": Value("string"), "start": Value("int32"), "end": Value("int32"), "sequence": Value("string")}
)


def features_of(task: str, labels: Sequence[str] | None = None, optional: Iterable[str] = ()) -> Features:
    """The columns of a table for a task.

    | column | feature | meaning |
    |---|---|---|
    | `sequence` | string | DNA; of a variant, the window with the reference allele |
    | `label` | ClassLabel | single-label classification |
    | | float32 | regression |
    | | List(ClassLabel) | multi-label classification: the labels that hold |
    | `base_labels` | List(ClassLabel) | token classification: a label for each base |
    | `unmeasured` | List(ClassLabel) | optional, multi-label: labels not measured for this row |
    | `alt_sequence` | string | optional: the window with the alternate allele |
    | `chrom`, `start`, `end`, `strand` | string, int32, int32, string | optional: place, bp, 0-based, half-open |
    | `id` | string | optional: the record's own id |
    | `cell_type`, `region_ids` | string, List(int32) | optional: context |
    | `accessibility`, `anchor` | List(float32), int32 | optional: context |

    `region_ids` are row numbers of the config `regions` of the same data set, in genome order; `accessibility` is that
    of each in the cell type; `anchor` is the place in the list (from 0) of the region that holds the sequence.

    Args:
        task: one of `TASKS`, named as transformers' `problem_type` where it has one.
        labels: names of the labels, in the order of their numbers; for regression none.
        optional: further columns, by name.

    Returns:
        The features, in the order above. Columns that only one data set has can be added to them.
    """
    if task not in TASKS:
        raise ValueError(f"task: found {task!r}, expected one of {', '.join(TASKS)}")
    if (task == "regression") != (labels is None):
        raise ValueError(f"labels: found {labels!r}, expected {'none for' if labels else 'names for'} {task}")
    optional = list(optional)
    allowed = [*_OPTIONAL, *(["unmeasured"] if task == "multi_label_classification" else [])]
    if unknown := [name for name in optional if name not in allowed]:
        raise ValueError(f"optional: found {unknown[0]!r}, expected some of {', '.join(allowed)} for {task}")
    label = Value("float32") if labels is None else ClassLabel(names=list(labels))
    columns: dict[str, Any] = {"sequence": Value("string")}
    if task == "token_classification":
        columns["base_labels"] = List(label)
    elif task == "multi_label_classification":
        columns["label"] = List(label)
        if "unmeasured" in optional:
            columns["unmeasured"] = List(label)
    else:
        columns["label"] = label
    return Features({**columns, **{name: feature for name, feature in _OPTIONAL.items() if name in optional}})


def write_task_dataset(
    output_dir: str | Path,
    tables: Mapping[str, Mapping[str, datasets.Dataset]],
    card: TaskCard,
    info: dict[str, Any],
    overwrite: bool = False,
) -> Path:
    """Write tables as a data set in the Hub's layout: `<config>/<split>-*.parquet`, a card, and `info.json`.

    The folder appears whole or not at all. The first config is the default one. The same tables always give the same
    bytes.

    Args:
        output_dir: the folder to write.
        tables: config -> split ("train", "validation", "test") -> table.
        card: what README.md says beside the figures, which are counted here.
        info: what goes into `info.json`: `builder` (its name), `options` (dict), `inputs` (name -> `file` and
            `sha256`: see `describe_file`), `skipped` (reason -> number), and whatever else a builder has to report.
            `splits`, `versions` and `files` are added here.
        overwrite: replace a data set of the same builder.

    Returns:
        The folder.

    Raises:
        ValueError: there is something in the folder already, a table is empty, or classification rows have one class.
    """
    output_dir = Path(output_dir).resolve()
    _check_output(output_dir, info["builder"], overwrite)
    splits = {
        config: {split: _count_rows(table, f"config {config!r}, split {split!r}") for split, table in table_of.items()}
        for config, table_of in tables.items()
    }
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    partial = output_dir.with_name(f".{output_dir.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        files = {}
        for config, table_of in tables.items():
            (partial / config).mkdir(parents=True)
            for split, table in table_of.items():
                for name in _write_parquet(table, partial, f"{config}/{split}"):
                    files[name] = sha256_of(partial / name)
        versions = {name: version(name) for name in ("datasets", "numpy", "pyarrow")}
        info = {**info, "splits": splits, "versions": versions, "files": files}
        (partial / "README.md").write_text(card_text(card, info, partial), encoding="utf-8")
        (partial / INFO_FILE_NAME).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        _check_output(output_dir, info["builder"], overwrite)
        if output_dir.exists():
            shutil.rmtree(output_dir)
        os.replace(partial, output_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output_dir


def read_info(folder: str | Path) -> dict[str, Any]:
    """What is in the `info.json` of a data set that `write_task_dataset` wrote."""
    return json.loads(Path(folder, INFO_FILE_NAME).read_text(encoding="utf-8"))


def describe_file(path: str | Path) -> dict[str, str]:
    """Name and SHA-256 of an input file, for `info["inputs"]`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return {"file": path.name, "sha256": sha256_of(path)}


def summary(info: dict[str, Any]) -> str:
    """What a build prints: rows of each config and split, and what was skipped."""
    lines = []
    for config, splits in info["splits"].items():
        counts = []
        for split, count in splits.items():
            labels = ", ".join(f"{name} {number:,}" for name, number in count.get("labels", {}).items())
            counts.append(f"{split} {count['rows']:,}" + (f" ({labels})" if labels else ""))
        lines.append(f"{config}: {'; '.join(counts)}")
    lines += [f"skipped: {reason}: {number:,}" for reason, number in info["skipped"].items() if number]
    return "\n".join(lines)


def _check_output(output_dir: Path, builder: str, overwrite: bool) -> None:
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return
    try:
        found = read_info(output_dir).get("builder")
    except (OSError, ValueError, AttributeError):
        found = None
    if found != builder:
        raise ValueError(f"{output_dir}: exists and is not a {builder} set built before; give another output_dir")
    if not overwrite:
        raise ValueError(f"{output_dir}: exists; give another output_dir, or overwrite")


def _count_rows(table: datasets.Dataset, where: str) -> dict[str, Any]:
    """Number of rows, and for classification that of each label."""
    if not len(table):
        raise ValueError(
            f"{where}: no rows, expected at least one; see what was skipped, or hold out other chromosomes"
        )
    counts: dict[str, Any] = {"rows": len(table)}
    column = next((name for name in ("label", "base_labels") if name in table.features), None)
    if column is None:
        return counts
    feature = table.features[column]
    label = feature.feature if isinstance(feature, List) else feature
    if isinstance(label, ClassLabel):
        values = table.select_columns(column).with_format("arrow")[:][column]
        values = pc.list_flatten(values) if isinstance(feature, List) else values
        number_of = {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}
        counts["labels"] = {name: number_of.get(index, 0) for index, name in enumerate(label.names)}
        present = [name for name, number in counts["labels"].items() if number]
        if column == "label" and label is feature and len(present) < 2:
            raise ValueError(
                f"{where}: all {len(table)} rows have the label {present[0]!r}, expected two or more labels"
            )
    return counts


def _write_parquet(table: datasets.Dataset, folder: Path, stem: str) -> list[str]:
    num_files = math.ceil(len(table) / ROWS_PER_FILE)
    names = []
    for index in range(num_files):
        names.append(f"{stem}-{index:05d}-of-{num_files:05d}.parquet")
        table.shard(num_files, index, contiguous=True).to_parquet(folder / names[-1])
    return names


@dataclass
class TaskConfig(datasets.BuilderConfig):
    """Base of what the builders take: the fields of a subclass are the arguments of its build function."""

    # The fields that hold files or folders, or lists or dicts of them: what is in them decides, not where they lie.
    PATHS: ClassVar[tuple[str, ...]] = ()

    @property
    def arguments(self) -> dict[str, Any]:
        own = {entry.name for entry in fields(self)} - {entry.name for entry in fields(datasets.BuilderConfig)}
        return {name: getattr(self, name) for name in sorted(own)}

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The arguments, with the checksums of files in place of their names: all that decides what is in the set."""
        return {name: _checksums(value) if name in self.PATHS else value for name, value in self.arguments.items()}

    def create_config_id(self, config_kwargs: dict, custom_features: Features | None = None) -> str:
        return super().create_config_id(self.recipe, custom_features)


class TaskBuilder(datasets.ArrowBasedBuilder):
    """Base of the builders: runs a build function once into the cache of `datasets`, and gives the tables it wrote.

    A subclass sets `BUILDER_CONFIG_CLASS` (a [`TaskConfig`]), `BUILDER_CONFIGS` (one for each config, with a name),
    and `build`.

    Attributes:
        build: the build function, as `staticmethod`; takes the fields of the config and `output_dir`.
    """

    build: ClassVar[Callable[..., dict[str, Any]]]

    def __init__(self, *args: Any, dataset_name: str | None = None, **kwargs: Any):
        name = dataset_name or datasets.naming.camelcase_to_snakecase(type(self).__name__)
        super().__init__(*args, dataset_name=name, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo()  # the columns are known once the set is built

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        sets = Path(self._cache_dir_root, f"{self.dataset_name}_sets")
        sets.mkdir(parents=True, exist_ok=True)
        folder = sets / Hasher.hash(self.config.recipe)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():  # it appears whole
                self.build(output_dir=folder, **self.config.arguments)
        splits = read_info(folder)["splits"]
        if self.config.name not in splits:
            raise ValueError(f"config {self.config.name!r}: not in this set, which has {', '.join(splits)}")
        inner = folder / self.config.name
        files = {split: sorted(inner.glob(f"{split}-*.parquet")) for split in splits[self.config.name]}
        schema = pq.read_schema(next(found[0] for found in files.values() if found))
        self.info.features = Features.from_arrow_schema(schema)
        return [datasets.SplitGenerator(split, gen_kwargs={"files": found}) for split, found in files.items() if found]

    def _generate_tables(self, files: list[Path]) -> Iterator[tuple[Key, pa.Table]]:
        for number, file in enumerate(files):
            with pq.ParquetFile(file) as parquet:
                for index, batch in enumerate(parquet.iter_batches()):
                    yield Key(number, index), pa.Table.from_batches([batch])


def _checksums(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _checksums(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_checksums(inner) for inner in value]
    if value is None:
        return None
    path = Path(value)
    if not path.exists():  # the name of a public source; of anything else the build says that it is not there
        return str(value)
    if path.is_dir():
        return {str(file.relative_to(path)): sha256_of(file) for file in sorted(path.rglob("*")) if file.is_file()}
    return describe_file(path)["sha256"]
