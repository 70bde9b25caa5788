"""Tables as labs have them, read into arrays, and what is wrong with them, in one line."""

from __future__ import annotations

import gzip

import datasets
import numpy as np
import pytest

from examples.finetuning.data import (
    MULTI_LABEL,
    PER_BASE,
    REGRESSION,
    SINGLE_LABEL,
    ColumnNames,
    read_task,
)


GOOD = "sequence,label\nACGT,0\nTTGA,1\n"


def write(folder, **texts):
    """Files of a task: `write(folder, train_file="...")` gives the arguments of `read_task`."""
    paths = {}
    for name, text in texts.items():
        paths[name] = str(folder / f"{name}.csv")
        (folder / f"{name}.csv").write_text(text)
    return paths


def test_classes_by_number(tmp_path):
    files = write(
        tmp_path, train_file="sequence,label\nACGT,2\nNNgt,10\nTTGA,2\n", test_file="label,sequence\n10,CC\n"
    )
    task = read_task(**files)
    assert (task.problem_type, task.label_names) == (SINGLE_LABEL, ["2", "10"])
    assert task.splits["train"].labels.tolist() == [0, 1, 0]
    assert task.splits["train"].sequences == ["ACGT", "NNgt", "TTGA"]
    assert task.splits["test"].labels.tolist() == [1]
    assert (task.splits["train"].ids, task.splits["train"].groups, task.is_variants) == (None, None, False)


def test_classes_by_name_in_columns_of_other_names_gzip_and_tabs(tmp_path):
    path = tmp_path / "train.tsv.gz"
    path.write_bytes(
        gzip.compress(b"name\tdna\tsite\tchrom\tstart\nr1\tACGT\tdonor\tchr1\t100\nr2\tTT\tacceptor\tchr1\t200000\n")
    )
    task = read_task(train_file=str(path), columns=ColumnNames(sequence="dna", label="site", id="name"))
    split = task.splits["train"]
    assert (task.label_names, split.labels.tolist()) == (["acceptor", "donor"], [1, 0])
    assert split.ids == ["r1", "r2"]
    assert split.groups.tolist() == ["chr1:0", "chr1:1"]


def test_values(tmp_path):
    task = read_task(**write(tmp_path, train_file="sequence,label\nACGT,0.5\nTT,-1\n"))
    assert (task.problem_type, task.label_names) == (REGRESSION, ["label"])
    assert task.splits["train"].labels.dtype == np.float32
    assert task.splits["train"].labels.tolist() == [0.5, -1]


def test_whole_numbers_are_values_where_that_is_said(tmp_path):
    task = read_task(**write(tmp_path, train_file=GOOD), problem_type=REGRESSION)
    assert task.splits["train"].labels.tolist() == [0, 1]


def test_several_labels_with_unmeasured_ones(tmp_path):
    text = "sequence,label,unmeasured\nACGT,CTCF;SP1,\nTTGA,,CTCF\nGG,GATA1,SP1; CTCF\n"
    task = read_task(**write(tmp_path, train_file=text), problem_type=MULTI_LABEL)
    assert task.label_names == ["CTCF", "GATA1", "SP1"]
    assert task.splits["train"].labels.tolist() == [[1, 0, 1], [-100, 0, 0], [-100, 1, -100]]


def test_classes_of_bases(tmp_path):
    task = read_task(**write(tmp_path, train_file="sequence,base_labels\nACGT,nnDn\nTT,An\n"))
    assert (task.problem_type, task.label_names) == (PER_BASE, ["A", "D", "n"])
    assert [labels.tolist() for labels in task.splits["train"].labels] == [[2, 2, 1, 2], [0, 2]]


def test_variants(tmp_path):
    text = "sequence,alt_sequence,label\nACGT,AGT,1.5\nTTGA,TTTA,-0.5\n"
    task = read_task(**write(tmp_path, train_file=text))
    assert task.is_variants
    assert task.splits["train"].alt_sequences == ["AGT", "TTTA"]


@pytest.fixture
def dataset_folder(tmp_path):
    """A data set in the Hub's layout with the configs `binding` and `regions`."""
    label = datasets.ClassLabel(names=["CTCF", "SP1"])
    features = datasets.Features(
        {
            "sequence": datasets.Value("string"),
            "label": datasets.List(label),
            "unmeasured": datasets.List(label),
            "region_ids": datasets.List(datasets.Value("int32")),
            "accessibility": datasets.List(datasets.Value("float32")),
            "anchor": datasets.Value("int32"),
        }
    )
    rows = {
        "sequence": ["ACGT", "TTGA"],
        "label": [[0], [1]],
        "unmeasured": [[], [0]],
        "region_ids": [[0, 1], [2]],
        "accessibility": [[0.5, None], [1.0]],
        "anchor": [1, 0],
    }
    tables = {"binding": datasets.Dataset.from_dict(rows, features=features)}
    regions = {
        "chrom": ["chr1", "chr1", "chr2"],
        "start": [0, 500, 100],
        "end": [100, 601, 200],
        "sequence": ["A", "CC", "G"],
    }
    tables["regions"] = datasets.Dataset.from_dict(regions)
    folder = tmp_path / "set"
    for config, table in tables.items():
        (folder / config).mkdir(parents=True)
        table.to_parquet(folder / config / "train-00000-of-00001.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: binding\n  data_files:\n  - split: train\n    path: binding/train-*\n"
        "- config_name: regions\n  data_files:\n  - split: train\n    path: regions/train-*\n---\n"
    )
    return folder


def test_a_data_set_with_open_regions(dataset_folder):
    task = read_task(dataset_name_or_path=str(dataset_folder))
    split = task.splits["train"]
    assert (task.problem_type, task.label_names) == (MULTI_LABEL, ["CTCF", "SP1"])
    assert split.labels.tolist() == [[1, 0], [-100, 1]]
    assert task.regions.position.tolist() == [50, 550, 150]
    assert task.regions.sequences == ["A", "CC", "G"]
    context = split.context
    assert (context.first.tolist(), context.region_ids.tolist()) == ([0, 2, 3], [0, 1, 2])
    np.testing.assert_array_equal(context.accessibility, np.array([0.5, np.nan, 1], dtype=np.float32))
    assert context.anchor.tolist() == [1, 0]


def test_regions_out_of_genome_order_or_out_of_the_table_are_refused(dataset_folder):
    path = dataset_folder / "binding" / "train-00000-of-00001.parquet"
    rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(dataset_folder.parent / "cache"))
    for lists, message in (
        ([[1, 0], [2]], "row 0: region_ids are not in genome order"),
        ([[0, 1], [3]], "row 1: region 3 "),
    ):
        rows.remove_columns("region_ids").add_column("region_ids", lists).to_parquet(path)
        with pytest.raises(ValueError, match=message):
            read_task(dataset_name_or_path=str(dataset_folder))


def test_a_config_that_is_not_there_is_named(dataset_folder):
    with pytest.raises(ValueError, match="found 'promoters'; pass --dataset_config_name with one of binding"):
        read_task(dataset_name_or_path=str(dataset_folder), dataset_config_name="promoters")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"train_file": "seq,class\nA,0\n"}, r"\(train\): no column 'sequence', 'label'; found 'seq', 'class'; name"),
        ({"train_file": GOOD, "test_file": "sequence\nA\n"}, r"\(test\): no column 'label'; found 'sequence'"),
        ({"train_file": GOOD, "validation_file": "sequence,label\n"}, r"\(validation\): the split is empty"),
        (
            {"train_file": GOOD, "test_file": "sequence,label\nA,0\nC,7\n"},
            r"\(test\), row 1: label '7' is unknown.*0, 1",
        ),
        ({"train_file": "sequence,label\nA,1\nC,1\n"}, r"\(train\): all rows are of one class \(1\)"),
        ({"train_file": "sequence,label\nA,0.5\nC,0.5\n"}, r"\(train\): all values are 0.5"),
        ({"train_file": "sequence,label\nA,0\nA!,1\n"}, r"\(train\), row 1: sequence is 'A!', expected DNA"),
        ({"train_file": "sequence,label\nA,0\n,1\n"}, r"\(train\), row 1: sequence is '', expected DNA"),
        ({"train_file": "sequence,label\nA,0\nC,\n"}, r"\(train\), row 1: label is empty"),
        ({"train_file": "sequence,label\nA,0\nC,1\nG,NA\n"}, r"\(train\), row 2: label 'NA' is unknown.*of 0, 1$"),
        ({"train_file": "sequence,label\nA,0.5\nC,1\nG,n/a\n"}, r"\(train\), row 2: label 'n/a' is unknown"),
        ({"train_file": "sequence,label\nA,0.5\nC,1\nG,nan\n"}, r"\(train\), row 2: label is nan, expected a number"),
        ({"train_file": "sequence,label,label\nA,0,1\nC,1,0\n"}, "train_file.csv: column 'label' comes twice"),
        ({"train_file": ""}, "train_file.csv: Empty CSV file"),
        ({"train_file": "id,sequence,label\nx,A,0\nx,C,1\n"}, r"row 1: the id 'x' is also that of .*row 0"),
        ({"train_file": "sequence,base_labels\nACG,01\n"}, r"row 0: base_labels has 2 labels, expected .* 3 bases"),
        (
            {"train_file": "sequence,label\nA,0\nA,0,1\n"},
            "train_file.csv: CSV parse error: .*Expected 2 columns, got 3",
        ),
        ({"test_file": GOOD}, "no split 'train', found test"),
        ({}, "pass either --dataset_name_or_path or --train_file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(texts, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        read_task(**write(tmp_path, **texts))
    assert "\n" not in str(caught.value)


def test_an_id_of_another_split_is_refused(tmp_path):
    files = write(tmp_path, train_file="id,sequence,label\nx,A,0\ny,C,1\n", test_file="id,sequence,label\ny,G,1\n")
    with pytest.raises(ValueError, match=r"\(test\), row 0: the id 'y' is also that of .*\(train\), row 1"):
        read_task(**files)


def test_alleles_in_one_split_only_are_refused(tmp_path):
    files = write(tmp_path, train_file="sequence,alt_sequence,label\nA,C,0\nC,G,1\n", test_file=GOOD)
    with pytest.raises(ValueError, match="some splits have a column 'alt_sequence' and some have none"):
        read_task(**files)


def test_values_that_are_names_are_refused(tmp_path):
    files = write(tmp_path, train_file="sequence,label\nA,0.5\nC,high\nG,1\n")
    with pytest.raises(ValueError, match=r"\(train\), row 1: label is 'high', expected a number"):
        read_task(**files, problem_type=REGRESSION)


def test_bgzip_byte_order_mark_and_crlf(tmp_path):
    blocks = [gzip.compress(text.encode()) for text in ("\ufeffsequence,label\r\nACGT,0\r\n", "ttga,1\r\n")]
    (tmp_path / "train.csv.bgz").write_bytes(b"".join(blocks))
    split = read_task(train_file=str(tmp_path / "train.csv.bgz")).splits["train"]
    assert (split.sequences, split.labels.tolist()) == (["ACGT", "ttga"], [0, 1])


def test_damaged_files_are_named(tmp_path):
    whole = gzip.compress(b"sequence,label\n" + b"ACGTTGCAAC,1\nGATTACATTT,0\n" * 500)
    for name, content in (("cut.csv.gz", whole[: len(whole) // 2]), ("plain.csv.gz", b"sequence,label\nA,0\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: ") as caught:
            read_task(train_file=str(tmp_path / name))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="is a folder, expected a file; .*--dataset_name_or_path"):
        read_task(train_file=str(tmp_path))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "train.xlsx").write_text("")
    with pytest.raises(ValueError, match="found '.xlsx', expected .csv"):
        read_task(train_file=str(tmp_path / "train.xlsx"))
