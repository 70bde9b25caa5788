"""The tables to fine-tune on: read, checked, and turned into arrays.

A table has a row for each example. Its columns are those of the data sets in `hub_datasets/`; only `sequence` and
`label` are needed, so that any CSV file of a lab will do:

| column | meaning |
|---|---|
| `sequence` | DNA; of a variant the reference allele's window |
| `label` | the class, the value to predict, or a list of the labels that hold |
| `unmeasured` | list of the labels that were not measured: they count in no loss and no metric |
| `base_labels` | the class of each base |
| `alt_sequence` | the alternate allele's window |
| `id` | a name of the row's own |
| `chrom`, `start` | its place: intervals of metrics are then drawn by blocks of 200 kb |
| `region_ids`, `accessibility`, `anchor` | open regions round it: rows of the data set's config `regions` |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from modeling_genebert.configuration_genebert import IGNORE_INDEX


SINGLE_LABEL, MULTI_LABEL = "single_label_classification", "multi_label_classification"
REGRESSION, PER_BASE = "regression", "token_classification"
PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION, PER_BASE)
BLOCK_SIZE = 200_000  # bp; neighbouring rows are not independent of each other
LIST_SEPARATOR = ";"  # of several labels in a cell of a text file
REGIONS_CONFIG = "regions"
# How tables write that a label is missing; not "none", which names a class well.
MISSING_LABELS = ("NA", "N/A", "n/a", "NaN", "nan", "<NA>", "#N/A", "NULL", "null")
TEXT_COLUMNS = ("sequence", "alt_sequence", "id", "chrom", "strand", "cell_type", "base_labels", "unmeasured")


@dataclass
class Regions:
    """
    The open regions that examples refer to.

    Args:
        sequences (`list[str]`): their DNA.
        chrom (`np.ndarray` of shape `(num_regions,)`): names of chromosomes.
        position (`np.ndarray` of shape `(num_regions,)`): their centres in bp, 0-based, int64.
    """

    sequences: list[str]
    chrom: np.ndarray
    position: np.ndarray


@dataclass
class Context:
    """
    The regions round each example of a split, as ragged arrays: those of example i are `first[i]` to `first[i + 1]`.

    Args:
        first (`np.ndarray` of shape `(num_examples + 1,)`)
        region_ids (`np.ndarray` of shape `(total,)`): rows of [`Regions`], int64.
        accessibility (`np.ndarray` of shape `(total,)`): float32, NaN where it was not measured.
        anchor (`np.ndarray` of shape `(num_examples,)`): place of the anchor in the example's list.
    """

    first: np.ndarray
    region_ids: np.ndarray
    accessibility: np.ndarray
    anchor: np.ndarray


@dataclass
class Split:
    """
    One split of a task.

    Args:
        name (`str`): `train`, `validation`, `test`, ...
        sequences (`list[str]`): DNA.
        alt_sequences (`list[str]`, *optional*): for variants, the alternate alleles.
        labels (`np.ndarray` or list of them): class ids, int64 `(num_examples,)`; values, float32 `(num_examples,)`;
            0, 1 or -100 (not measured), float32 `(num_examples, num_labels)`; or for each example the class ids of its
            bases, int64 `(length,)`.
        ids (`list[str]`, *optional*): names of the rows.
        groups (`np.ndarray` of shape `(num_examples,)`, *optional*): block of 200 kb of each row.
        context (`Context`, *optional*): open regions.
    """

    name: str
    sequences: list[str]
    alt_sequences: list[str] | None
    labels: Any
    ids: list[str] | None
    groups: np.ndarray | None
    context: Context | None

    def __len__(self) -> int:
        return len(self.sequences)


@dataclass
class Task:
    """
    What is to be learnt.

    Args:
        problem_type (`str`): one of `PROBLEM_TYPES`.
        label_names (`list[str]`): names of the classes; of a regression the name of its column.
        splits (`dict[str, Split]`): by name.
        regions (`Regions`, *optional*): what the splits' contexts refer to.
        source (`str`): where it was read from.
    """

    problem_type: str
    label_names: list[str]
    splits: dict[str, Split]
    regions: Regions | None
    source: str

    @property
    def is_variants(self) -> bool:
        return self.splits["train"].alt_sequences is not None


@dataclass
class ColumnNames:
    """Names of the columns in the user's own tables, where they are not those of the module's docstring."""

    sequence: str = "sequence"
    label: str | None = None  # default: `label`, or `base_labels` where there is none
    alt_sequence: str = "alt_sequence"
    id: str = "id"


# Reading tables


def read_table(path: str | Path, text_columns: Sequence[str] = ()) -> pa.Table:
    """A table of a CSV, TSV (plain or gzip) or Parquet file.

    Args:
        path: the file; its name says what it is.
        text_columns: columns of a text file that are text, whatever they look like.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, or a bad one.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a file; a data set's folder goes to --dataset_name_or_path")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    suffix = path.with_suffix("").suffix if path.suffix in (".gz", ".bgz") else path.suffix
    table = None
    try:
        if suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        if suffix in (".csv", ".tsv", ".txt", ".tab"):
            table = pyarrow.csv.read_csv(
                pa.CompressedInputStream(str(path), "gzip") if path.suffix in (".gz", ".bgz") else path,
                parse_options=pyarrow.csv.ParseOptions(delimiter="," if suffix == ".csv" else "\t"),
                convert_options=pyarrow.csv.ConvertOptions(
                    null_values=[""],
                    strings_can_be_null=True,
                    column_types={name: pa.string() for name in (*TEXT_COLUMNS, *text_columns)},
                ),
            )
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None
    if table is not None:
        names = table.column_names
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{path}: column {twice[0]!r} comes twice, expected each name once")
        return table
    raise ValueError(f"{path}: found {suffix!r}, expected .csv, .tsv, .txt or .tab (tabs), also .gz, or .parquet")


def read_dataset(
    name_or_path: str, config: str | None, text_columns: Sequence[str]
) -> tuple[dict[str, pa.Table], Regions | None]:
    """Tables of a data set, a folder or a Hub id, by split; and its config `regions`, where it has one."""
    names = datasets.get_dataset_config_names(name_or_path)
    tasks = [name for name in names if name != REGIONS_CONFIG]
    if config is None and len(tasks) == 1:
        config = tasks[0]
    if config not in names:
        found = "none was named" if config is None else f"found {config!r}"
        raise ValueError(f"{name_or_path}: {found}; pass --dataset_config_name with one of {', '.join(tasks)}")

    def read_config(name: str) -> dict[str, pa.Table]:
        if not Path(name_or_path).is_dir():
            loaded: Any = datasets.load_dataset(name_or_path, name)
            return {
                split: rows.with_format("arrow")[:].cast(rows.features.arrow_schema) for split, rows in loaded.items()
            }
        # Not by load_dataset, whose cache takes two folders of one name for the same.
        files = datasets.load_dataset_builder(name_or_path, name).config.data_files or {}
        return {
            str(split): pa.concat_tables([read_table(path, text_columns) for path in paths])
            for split, paths in files.items()
        }

    regions = None
    if REGIONS_CONFIG in names:
        table = pa.concat_tables(read_config(REGIONS_CONFIG).values())
        ends = np.asarray(table["start"], dtype=np.int64) + np.asarray(table["end"], dtype=np.int64)
        regions = Regions(table["sequence"].to_pylist(), np.asarray(table["chrom"].to_pylist()), ends // 2)
    return read_config(str(config)), regions


# From tables to arrays


def read_task(
    *,
    dataset_name_or_path: str | None = None,
    dataset_config_name: str | None = None,
    train_file: str | None = None,
    validation_file: str | None = None,
    test_file: str | None = None,
    problem_type: str | None = None,
    columns: ColumnNames | None = None,
) -> Task:
    """
    Read a data set, or a user's own files, and check it.

    Args:
        dataset_name_or_path (`str`, *optional*): folder in the Hub's layout, or Hub id.
        dataset_config_name (`str`, *optional*): needed where it has several configs.
        train_file, validation_file, test_file (`str`, *optional*): CSV, TSV or Parquet, instead of a data set.
        problem_type (`str`, *optional*): one of `PROBLEM_TYPES`; default: told from the column of labels.
        columns (`ColumnNames`, *optional*): other names of columns.

    Returns:
        [`Task`]

    Raises:
        FileNotFoundError: no such file.
        ValueError: a table that cannot be trained on; the message names split and row (0-based).
    """
    columns = columns or ColumnNames()
    files = {"train": train_file, "validation": validation_file, "test": test_file}
    given_files = [name for name in files.values() if name is not None]
    if (dataset_name_or_path is None) == (not given_files):
        raise ValueError("pass either --dataset_name_or_path or --train_file (and --validation_file, --test_file)")
    text_columns = [columns.sequence, columns.alt_sequence, columns.id]
    if problem_type in (MULTI_LABEL, PER_BASE):
        text_columns.append(columns.label or "label")
    regions = None
    if dataset_name_or_path is not None:
        tables, regions = read_dataset(dataset_name_or_path, dataset_config_name, text_columns)
    else:
        tables = {split: read_table(path, text_columns) for split, path in files.items() if path is not None}
    source = dataset_name_or_path or ", ".join(given_files)
    if "train" not in tables:
        raise ValueError(f"{source}: no split 'train', found {', '.join(tables)}")

    train = tables["train"]
    label_column = columns.label
    if label_column is None:
        label_column = "base_labels" if problem_type == PER_BASE or "label" not in train.column_names else "label"
        label_column = label_column if label_column in train.column_names else "label"
    for split, table in tables.items():
        check_columns(f"{source} ({split})", table, [columns.sequence, label_column])
        if table.num_rows == 0:
            raise ValueError(f"{source} ({split}): the split is empty, expected at least one row")
    feature = datasets.Features.from_arrow_schema(train.schema)[label_column]
    problem_type = problem_type or guess_problem_type(train[label_column], label_column)
    label_names = name_labels(problem_type, train[label_column], feature, label_column)

    splits = {}
    rows_of_ids: dict[str, str] = {}
    for name, table in tables.items():
        where = f"{source} ({name})"
        sequences = check_dna(where, columns.sequence, table)
        has_alleles = columns.alt_sequence in table.column_names
        ids = None
        if columns.id in table.column_names:
            ids = [str(value) for value in table[columns.id].to_pylist()]
            check_ids(where, ids, rows_of_ids)
        splits[name] = Split(
            name=name,
            sequences=sequences,
            alt_sequences=check_dna(where, columns.alt_sequence, table) if has_alleles else None,
            labels=read_labels(where, problem_type, table, label_column, label_names, feature, sequences),
            ids=ids,
            groups=read_blocks(table),
            context=None if regions is None else read_context(where, table, regions),
        )
    kinds = {split.alt_sequences is not None for split in splits.values()}
    if len(kinds) > 1:
        raise ValueError(f"{source}: some splits have a column {columns.alt_sequence!r} and some have none")
    task = Task(problem_type, label_names, splits, regions, source)
    check_classes(task)
    if task.is_variants and problem_type not in (SINGLE_LABEL, REGRESSION):
        raise ValueError(f"{source}: variants have classes or values, found the problem type {problem_type!r}")
    return task


def check_columns(where: str, table: pa.Table, names: Sequence[str]) -> None:
    """Raise `ValueError`, with the columns found, unless all of `names` are there."""
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise ValueError(
            f"{where}: no column {', '.join(map(repr, missing))}; found {', '.join(map(repr, table.column_names))}; "
            "name the right ones with --sequence_column and --label_column"
        )


def check_dna(where: str, column: str, table: pa.Table) -> list[str]:
    """The DNA strings of a column, after a check that they are such."""
    values = table[column].cast(pa.string())
    is_dna = pc.fill_null(pc.match_substring_regex(values, "^[ACGTURYKMBVDHSWNacgturykmbvdhswn]+$"), False)
    if not pc.all(is_dna).as_py():
        row = int(np.flatnonzero(~np.asarray(is_dna))[0])
        found = values[row].as_py()
        raise ValueError(f"{where}, row {row}: {column} is {(found or '')[:40]!r}, expected DNA (IUPAC letters)")
    return values.to_pylist()


def check_ids(where: str, ids: list[str], rows_of_ids: dict[str, str]) -> None:
    """Raise `ValueError` for an id that another row has, too; `rows_of_ids` is where each was seen."""
    for row, name in enumerate(ids):
        if name in rows_of_ids:
            raise ValueError(
                f"{where}, row {row}: the id {name!r} is also that of {rows_of_ids[name]}; expected one row an id"
            )
        rows_of_ids[name] = f"{where}, row {row}"


# Labels


def guess_problem_type(labels: pa.ChunkedArray, column: str) -> str:
    """The problem type that a column of labels stands for."""
    if column == "base_labels":
        return PER_BASE
    if pa.types.is_list(labels.type) or pa.types.is_large_list(labels.type):
        return MULTI_LABEL
    return REGRESSION if pa.types.is_floating(labels.type) else SINGLE_LABEL


def name_labels(problem_type: str, labels: pa.ChunkedArray, feature: Any, column: str) -> list[str]:
    """Names of the classes: those of the data set's `ClassLabel`, else what is found in the training split, sorted."""
    if problem_type == REGRESSION:
        return [column]
    class_label = getattr(feature, "feature", feature)
    if isinstance(class_label, datasets.ClassLabel):
        return list(class_label.names)
    found = np.unique(flat_labels(labels.drop_null(), problem_type)[0]).tolist()
    values = [value for value in found if value not in MISSING_LABELS]
    # Numbers by size, then names.
    keys = sorted(values, key=lambda value: (0, float(value), "") if is_number(value) else (1, 0.0, str(value)))
    return [str(key) for key in keys]


def is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def flat_labels(cells: pa.ChunkedArray, problem_type: str) -> tuple[np.ndarray, np.ndarray]:
    """All labels one after the other, and how many each cell has.

    A cell is one label, or a list of them; in text files names between semicolons, and per base a letter a base.
    """
    if problem_type == SINGLE_LABEL:
        return np.array(cells.to_pylist()), np.ones(len(cells), dtype=np.int64)
    if pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type):
        lists = cells.combine_chunks()
        lengths = pc.fill_null(pc.list_value_length(lists), 0)
        return lists.flatten().to_numpy(zero_copy_only=False), np.asarray(lengths, dtype=np.int64)
    texts = ["" if cell is None else str(cell) for cell in cells.to_pylist()]
    if problem_type == PER_BASE:
        return np.array(list("".join(texts))), np.array([len(text) for text in texts])
    lists = [[name.strip() for name in text.split(LIST_SEPARATOR) if name.strip()] for text in texts]
    return np.array([name for names in lists for name in names]), np.array([len(names) for names in lists])


def read_labels(
    where: str,
    problem_type: str,
    table: pa.Table,
    column: str,
    names: list[str],
    feature: Any,
    sequences: list[str],
) -> Any:
    """Labels as arrays: see [`Split`]."""
    labels = table[column]
    # No label is an empty list where there may be several.
    if labels.null_count and not (problem_type == MULTI_LABEL and pa.types.is_string(labels.type)):
        row = int(np.flatnonzero(np.asarray(labels.is_null()))[0])
        raise ValueError(f"{where}, row {row}: {column} is empty, expected a label")
    if problem_type == REGRESSION:
        try:
            values = np.asarray(labels.cast(pa.float32()), dtype=np.float32)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            row, found = next((row, each) for row, each in enumerate(labels.to_pylist()) if not is_number(str(each)))
            raise ValueError(f"{where}, row {row}: {column} is {found!r}, expected a number") from None
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ValueError(f"{where}, row {row}: {column} is {values[row]}, expected a number")
        return values

    are_ids = isinstance(getattr(feature, "feature", feature), datasets.ClassLabel)  # else names, or numbers as names

    def ids_of(name: str) -> list[np.ndarray]:
        """Numbers of the labels in each cell of a column."""
        values, lengths = flat_labels(table[name], problem_type)
        distinct, inverse = np.unique(values, return_inverse=True)
        known: dict[Any, int] = {index if are_ids else text: index for index, text in enumerate(names)}
        ids = np.array([known.get(int(value) if are_ids else str(value), -1) for value in distinct], dtype=np.int64)
        if (ids < 0).any():
            place = int(np.flatnonzero(ids[inverse] < 0)[0])
            row = int(np.searchsorted(np.cumsum(lengths), place, side="right"))
            few = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise ValueError(f"{where}, row {row}: {name} {str(values[place])!r} is unknown, expected one of {few}")
        return np.split(ids[inverse], np.cumsum(lengths)[:-1])

    per_row = ids_of(column)
    if problem_type == SINGLE_LABEL:
        return np.concatenate(per_row)
    if problem_type == PER_BASE:
        for row, (ids, sequence) in enumerate(zip(per_row, sequences, strict=True)):
            if len(ids) != len(sequence):
                raise ValueError(
                    f"{where}, row {row}: {column} has {len(ids)} labels, expected one for each of the "
                    f"{len(sequence)} bases"
                )
        return per_row
    holds = np.zeros((len(per_row), len(names)), dtype=np.float32)
    missing = [np.empty(0, dtype=np.int64)] * len(per_row)
    if "unmeasured" in table.column_names:
        missing = ids_of("unmeasured")
    for row, (holding, left_out) in enumerate(zip(per_row, missing, strict=True)):
        holds[row, holding] = 1
        if holds[row, left_out].any():
            raise ValueError(f"{where}, row {row}: a label that holds is also in 'unmeasured'")
        holds[row, left_out] = IGNORE_INDEX
    return holds


def check_classes(task: Task) -> None:
    """Raise `ValueError` where the training split leaves nothing to learn."""
    labels = task.splits["train"].labels
    if task.problem_type == REGRESSION:
        if labels.min() == labels.max():
            raise ValueError(f"{task.source} (train): all values are {labels[0]}, expected at least two")
        return
    if task.problem_type == MULTI_LABEL:
        both = (labels == 0).any(axis=0) & (labels == 1).any(axis=0)
        if not both.any():
            raise ValueError(f"{task.source} (train): no label holds in some rows and not in others")
        return
    present = np.unique(np.concatenate(labels) if task.problem_type == PER_BASE else labels)
    if len(present) < 2:
        found = ", ".join(task.label_names[index] for index in present)
        raise ValueError(f"{task.source} (train): all rows are of one class ({found}), expected at least two")


# Places and open regions


def read_blocks(table: pa.Table) -> np.ndarray | None:
    """The 200-kb block of each row; None where the table has no places."""
    if not {"chrom", "start"} <= set(table.column_names) or table["chrom"].null_count or table["start"].null_count:
        return None
    blocks = np.asarray(table["start"], dtype=np.int64) // BLOCK_SIZE
    return np.array([f"{chrom}:{block}" for chrom, block in zip(table["chrom"].to_pylist(), blocks, strict=True)])


def read_context(where: str, table: pa.Table, regions: Regions) -> Context | None:
    """The open regions of each row, after a check that they are rows of `regions` in genome order."""
    if "region_ids" not in table.column_names:
        return None
    lists = table["region_ids"].combine_chunks()
    first = np.concatenate([[0], np.cumsum(np.asarray(pc.list_value_length(lists), dtype=np.int64))])
    region_ids = np.asarray(lists.flatten(), dtype=np.int64)
    accessibility = np.full(len(region_ids), np.nan, dtype=np.float32)
    if "accessibility" in table.column_names:
        measured = table["accessibility"].combine_chunks()
        if not np.array_equal(np.asarray(pc.list_value_length(measured)), np.diff(first)):
            raise ValueError(f"{where}: accessibility and region_ids have lists of other lengths, expected the same")
        accessibility = np.asarray(measured.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    counts = np.diff(first)
    anchor = np.asarray(table["anchor"], dtype=np.int64) if "anchor" in table.column_names else (counts - 1) // 2
    bad = np.flatnonzero((region_ids < 0) | (region_ids >= len(regions.sequences)))
    if len(bad):
        row = int(np.searchsorted(first, bad[0], side="right")) - 1
        raise ValueError(
            f"{where}, row {row}: region {region_ids[bad[0]]} is not one of the {len(regions.sequences)} of the "
            f"config {REGIONS_CONFIG!r}"
        )
    if ((anchor < 0) | (anchor >= np.maximum(counts, 1))).any():
        row = int(np.flatnonzero((anchor < 0) | (anchor >= np.maximum(counts, 1)))[0])
        raise ValueError(f"{where}, row {row}: anchor is {anchor[row]}, expected 0 to {counts[row] - 1}")
    steps = np.diff(regions.position[region_ids])
    inside = np.ones(len(steps), dtype=bool)
    inside[first[1:-1][(first[1:-1] > 0) & (first[1:-1] < len(region_ids))] - 1] = False  # from one row to the next
    if (steps[inside] < 0).any():
        place = np.flatnonzero(inside & (steps < 0))[0]
        row = int(np.searchsorted(first, place, side="right")) - 1
        raise ValueError(f"{where}, row {row}: region_ids are not in genome order")
    return Context(first, region_ids, accessibility, anchor)
