"""`predict.py` on sequences and tables."""

# ruff: noqa: F811 (fixtures are imported)
from __future__ import annotations

import gzip
import json
import os
import runpy
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from examples import predict
from examples.prediction import tables
from examples.prediction.predictor import Predictor
from modeling_genebert import (
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertProcessor,
    average_strands,
)
from tests.running import quick_python

from .predicting import LONGEST, checkpoints, dna, files, logits_of, run, sequences_of, write  # noqa: F401


# Sequences


def test_fasta(checkpoints, files):
    rows, report = run(checkpoints["promoter"], files / "sequences.fa")
    assert [row["id"] for row in rows] == [f"s{number}" for number in range(10)]
    assert list(rows[0]) == ["id", "prediction", "probability_no", "probability_yes"]
    logits = logits_of(checkpoints["promoter"], GeneBertForSequenceClassification, sequences_of(rows))
    expected = logits.softmax(-1).tolist()
    for row, (no, yes) in zip(rows, expected, strict=True):
        assert (row["probability_no"], row["probability_yes"]) == pytest.approx((no, yes), abs=1e-6)
        assert row["prediction"] == ("yes" if yes > no else "no")
    assert (report["read"], report["predicted"], report["rows"]) == (13, 10, 10)
    path = str(files / "sequences.fa")
    assert report["examples_of_skipped"] == {
        "letters that are not DNA": [f"{path}:31: record 'letters' has 'X' at position 3 (0-based)"],
        "no sequence": [f"{path}:33: record 'empty'"],
        "no known base": [f"{path}:34: record 'unknown'"],
    }
    assert json.loads((files / "out.parquet.report.json").read_text())["skipped"] == report["skipped"]


def test_batches_do_not_change_predictions(checkpoints, files):
    outputs = [run(checkpoints["promoter"], files / "sequences.fa", "--batch_size", size)[0] for size in (1, 3, 32)]
    values = [[row["probability_yes"] for row in rows] for rows in outputs]
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)
    np.testing.assert_allclose(values[0], values[2], atol=1e-6)


def test_a_fresh_process_writes_the_same_bytes(checkpoints, files):
    text, _ = run(checkpoints["promoter"], files / "sequences.fa", output="here.csv")
    options = ["--model_name_or_path", checkpoints["promoter"], "--input_file", files / "sequences.fa"]
    options += ["--output_file", files / "there.csv", "--device", "cpu"]
    command = [*quick_python(), Path(predict.__file__).resolve(), *options]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = "1"  # as here: another number of threads adds up in another order
    printed = subprocess.run(
        list(map(str, command)), cwd=files, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert (files / "there.csv").read_text() == text
    assert "read 13, predicted 10, skipped 3 in " in printed
    assert "  1 skipped: no known base; first: " in printed


def test_both_strands(checkpoints, files):
    rows, _ = run(checkpoints["promoter"], files / "sequences.fa", "--average_strands")
    model = GeneBertForSequenceClassification.from_pretrained(checkpoints["promoter"])
    processor = GeneBertProcessor.from_pretrained(checkpoints["promoter"])
    expected = average_strands(model, processor, sequences_of(rows)).logits.softmax(-1)[:, 1]
    np.testing.assert_allclose([row["probability_yes"] for row in rows], expected, atol=1e-6)


def test_what_the_checkpoint_was_trained_to_read(checkpoints, files, tmp_path):
    """`modality` and `average_strands` in a config, as fine-tuning writes them."""
    probabilities = {}
    for modality in ("both", "sequence", "regions"):
        model = GeneBertForSequenceClassification.from_pretrained(checkpoints["promoter"])
        model.config.update({"modality": modality, "average_strands": modality == "sequence", "window_overlap": None})
        model.save_pretrained(tmp_path)
        processor = GeneBertProcessor.from_pretrained(checkpoints["promoter"])
        processor.save_pretrained(tmp_path)
        rows, _ = run(tmp_path, files / "sequences.fa")
        probabilities[modality] = [row["probability_yes"] for row in rows]
        sequences = sequences_of(rows)
        inputs = processor(sequences, tile=modality != "sequence", padding=True, return_tensors="pt")
        if modality == "sequence":
            expected = average_strands(model, processor, sequences, tile=False).logits
        else:
            if modality == "regions":
                inputs["input_ids"] = torch.tensor([[2, 3]] * len(sequences))
                inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
                del inputs["token_type_ids"]
            with torch.no_grad():
                expected = model.eval()(**inputs).logits
        np.testing.assert_allclose(probabilities[modality], expected.softmax(-1)[:, 1], atol=1e-6)
    assert len({values[0] for values in probabilities.values()}) == 3
    with pytest.raises(ValueError, match="300 bp, expected at most 40 bp"):  # of windows
        run(checkpoints["promoter"], files / "genome.fa")
    run(tmp_path, files / "genome.fa")  # the regions alone have no longest sequence


def test_several_labels_and_values(checkpoints, files):
    rows, _ = run(checkpoints["several"], files / "sequences.fa")
    logits = logits_of(checkpoints["several"], GeneBertForSequenceClassification, sequences_of(rows))
    np.testing.assert_allclose([row["probability_SPI1"] for row in rows], logits.sigmoid()[:, 2], atol=1e-6)
    names = ("CTCF", "GATA1", "SPI1")
    for row, values in zip(rows, logits.tolist(), strict=True):
        assert row["prediction"] == ";".join(name for name, value in zip(names, values, strict=True) if value > 0)
    assert len({row["prediction"] for row in rows}) > 1

    rows, _ = run(checkpoints["value"], files / "sequences.fa", output="out.parquet")
    logits = logits_of(checkpoints["value"], GeneBertForSequenceClassification, sequences_of(rows))
    np.testing.assert_allclose([row["prediction"] for row in rows], logits[:, 0], atol=1e-6)


def test_bfloat16_is_close(checkpoints, files):
    exact, _ = run(checkpoints["promoter"], files / "sequences.fa")
    rows, _ = run(checkpoints["promoter"], files / "sequences.fa", "--bf16")
    difference = [a["probability_yes"] - b["probability_yes"] for a, b in zip(exact, rows, strict=True)]
    assert 0 < np.abs(difference).max() < 0.02


# Long sequences


def test_windows_are_pooled(checkpoints, tmp_path):
    (tmp_path / "long.fa").write_text(f">long\n{dna(150)}\n>short\n{dna(20)}\n>two\n{dna(41)}\n")
    rows, _ = run(checkpoints["promoter"], tmp_path / "long.fa", "--window_overlap", 10, "--batch_size", 4)
    # 10 bp are 8 3-mers.
    logits = logits_of(
        checkpoints["promoter"],
        GeneBertForSequenceClassification,
        [dna(150), dna(20), dna(41)],
        max_length=LONGEST,
        return_overflowing_tokens=True,
        stride=8,
    )
    np.testing.assert_allclose([row["probability_yes"] for row in rows], logits.softmax(-1)[:, 1], atol=1e-6)


def test_windows_of_both_strands_are_the_same_bases(checkpoints, tmp_path):
    (tmp_path / "long.fa").write_text(f">long\n{dna(60)}\n")
    options = ("--window_overlap", 10, "--average_strands", "--per_base", "sites", "--min_probability", 1e-9)
    rows, _ = run(checkpoints["splice"], tmp_path / "long.fa", *options)
    model = GeneBertForTokenClassification.from_pretrained(checkpoints["splice"])
    processor = GeneBertProcessor.from_pretrained(checkpoints["splice"])
    # Bases 0 to 40 and 20 to 60, and the mean of both where they overlap.
    first, last = average_strands(model, processor, [dna(60)[:40], dna(60)[20:]]).logits.double()
    logits = torch.cat([first[:20], (first[20:] + last[:20]) / 2, last[20:]])
    donors = [row["probability"] for row in rows if row["prediction"] == "donor"]
    np.testing.assert_allclose(donors, logits.softmax(-1)[:, 1], atol=1e-6)


def test_sequences_that_are_too_long(checkpoints, files, tmp_path):
    with pytest.raises(ValueError, match=r"genome.fa:1: record 'chr1': 300 bp, expected at most 40 bp. Cut it into w"):
        run(checkpoints["promoter"], files / "genome.fa", output="never.csv")
    assert not (files / "never.csv").exists()
    (tmp_path / "chromosome.fa").write_text(">chr9\n" + f"{dna(1000)}\n" * 4001)
    with pytest.raises(
        ValueError, match=r"record 'chr9' has more than 4,000,000 bp. Predict regions of it: .*bedtool"
    ):
        run(checkpoints["promoter"], tmp_path / "chromosome.fa", "--window_overlap", 0)
    with pytest.raises(ValueError, match="window_overlap=40 bp, expected 0 to less than a window of 40 bp"):
        run(checkpoints["promoter"], files / "sequences.fa", "--window_overlap", 40)


# Tables


def test_tables(checkpoints, files, tmp_path):
    expected = logits_of(checkpoints["promoter"], GeneBertForSequenceClassification, [dna(20), dna(30)]).softmax(-1)
    rows_of = {}
    text = f'\ufeffid,note,sequence\r\nx,"a, b",{dna(20)}\r\n\r\ny,,{dna(30).lower()}\r\nz,none,\r\n'
    (tmp_path / "table.csv").write_text(text, newline="")
    with gzip.open(tmp_path / "table.tsv.gz", "wt") as file:
        file.write(f"id\tnote\tsequence\nx\ta, b\t{dna(20)}\ny\t\t{dna(30)}\nz\tnone\t\n")
    columns = {"id": ["x", "y", "z"], "note": ["a, b", "", "none"], "sequence": [dna(20), dna(30), None]}
    pq.write_table(pa.table({**columns, "number": [1, None, 3]}), tmp_path / "table.parquet")
    for name in ("table.csv", "table.tsv.gz", "table.parquet"):
        rows, report = run(checkpoints["promoter"], tmp_path / name)
        assert [(row["id"], row["note"]) for row in rows] == [("x", "a, b"), ("y", "")]
        np.testing.assert_allclose([row["probability_yes"] for row in rows], expected[:, 1], atol=1e-6)
        assert report["skipped"] == {"no sequence": 1}
        rows_of[name] = rows
    assert [row["number"] for row in rows_of["table.parquet"]] == [1, None]
    assert "sequence" not in rows_of["table.csv"][0]


def test_other_names_of_columns(checkpoints, tmp_path):
    (tmp_path / "table.csv").write_text(f"dna,other\n{dna(20)},{dna(20, 1)}\n")
    options = ("--sequence_column", "dna", "--alt_sequence_column", "other")
    rows, _ = run(checkpoints["effect"], tmp_path / "table.csv", *options)
    logits = logits_of(checkpoints["effect"], GeneBertForVariantEffect, [dna(20)], alt_sequences=[dna(20, 1)])
    assert rows == [{"prediction": pytest.approx(logits.item(), abs=1e-6)}]


def test_an_empty_table_gives_an_empty_table(checkpoints, tmp_path):
    (tmp_path / "table.csv").write_text("id,sequence\n")
    text, report = run(checkpoints["promoter"], tmp_path / "table.csv", output="out.tsv")
    assert text == "id\tprediction\tprobability_no\tprobability_yes\n"
    assert report["read"] == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "seq,label\nACGT,1\n", r"a.csv: no column 'sequence', found 'seq', 'label'; name it with --seq"),
        ("a.csv", "", "a.csv: no column 'sequence', found no columns"),
        ("a.csv", "id,sequence\nx,ACGTACGT\ny\n", "a.csv:3: found 1 columns, expected 2 as in the header"),
        ("a.csv", "id,id,sequence\n", "a.csv:1: column 'id' comes twice"),
        ("a.csv", "prediction,sequence\nx,ACGTACGT\n", "its column 'prediction' has the name of a prediction: rename"),
        ("a.csv", "region_ids,sequence\n1,ACGTACGT\n", "region_ids counts rows of a table of regions: pass --regions"),
        ("a.parquet", "no", "a.parquet: not a Parquet file"),
        ("a.fa", "ACGT\n", "a.fa:1: not a FASTA file: found 'ACGT', expected a line '>name'"),
        ("a.fa", ">x\nACGTACGT\n>\n", "a.fa:3: record without a name"),
        ("a.fa", "", "a.fa: empty file, expected a FASTA file"),
        ("a.fa.gz", "not gzip", "a.fa.gz:1: not a FASTA file"),
        ("a.docx", "", "found the ending '.docx', expected one of .fa"),
        ("a.bed", "", "a.bed: .bed holds places, not sequences: pass --genome"),
        ("a.vcf", "", "a.vcf: .vcf holds places, not sequences: pass --genome"),
    ],
)
def test_bad_files(checkpoints, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        run(checkpoints["promoter"], tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing is left behind


def test_a_truncated_file(checkpoints, tmp_path):
    whole = gzip.compress(f">x\n{dna(30)}\n".encode() * 2000)
    (tmp_path / "a.fa.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="a.fa.gz: truncated or damaged gzip file"):
        run(checkpoints["promoter"], tmp_path / "a.fa.gz")


def test_what_a_run_that_fails_leaves(checkpoints, files, tmp_path):
    (tmp_path / "table.csv").write_text(f"id,sequence\nx,{dna(20)}\ny\n")
    (tmp_path / "out.csv").write_text("from before\n")
    with pytest.raises(ValueError, match="table.csv:3"):
        run(checkpoints["promoter"], tmp_path / "table.csv", "--batch_size", 1, output="out.csv")
    assert (tmp_path / "out.csv").read_text() == "from before\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "table.csv"]


@pytest.mark.parametrize(
    ("checkpoint", "input_file", "arguments", "message"),
    [
        ("masked", "sequences.fa", [], "was saved as GeneBertForMaskedLM, which predicts nothing yet: fine-tune it"),
        ("effect", "sequences.fa", [], "predicts effects of variants, but the input has one sequence a record"),
        ("promoter", "sequences.fa", ["--genome", "genome.fa"], "--genome goes with .bed, .narrowPeak"),
        ("promoter", "sequences.fa", ["--width", "10"], "--width goes with .bed, .narrowPeak"),
        ("promoter", "sequences.fa", ["--output_file", "out.xlsx"], "found the ending '.xlsx', expected one of .csv"),
        ("promoter", "sequences.fa", ["--output_file", "no/out.csv"], "no: no such folder, expected one to write"),
        ("promoter", "missing.fa", [], "missing.fa: no such file"),
    ],
)
def test_bad_arguments(checkpoints, files, monkeypatch, checkpoint, input_file, arguments, message):
    monkeypatch.chdir(files)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(checkpoints[checkpoint], Path(input_file), *arguments)


def test_bad_input_ends_the_command_with_one_line(checkpoints, tmp_path, monkeypatch):
    command = ["predict.py", "--model_name_or_path", str(checkpoints["promoter"])]
    command += ["--input_file", str(tmp_path / "no.fa"), "--output_file", str(tmp_path / "out.csv")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match=f"^error: {tmp_path}/no.fa: no such file$"):
        runpy.run_path(str(predict.__file__), run_name="__main__")


def test_the_input_is_not_overwritten(checkpoints, tmp_path):
    (tmp_path / "table.csv").write_text("sequence\nACGTACGT\n")
    with pytest.raises(ValueError, match="table.csv: is the input, too"):
        run(checkpoints["promoter"], tmp_path / "table.csv", output="table.csv")


def test_memory_does_not_grow_with_the_input(checkpoints, tmp_path, monkeypatch):
    def without_model(self, records):
        return [
            {**record.columns, "prediction": "no", "probability_no": 1.0, "probability_yes": 0.0} for record in records
        ]

    monkeypatch.setattr(Predictor, "predict", without_model)
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 200)
    for output in ("out.csv", "out.parquet"):
        peaks = {}
        for number in (2_000, 8_000):
            (tmp_path / "many.fa").write_text("".join(f">s{index}\n{dna(30)}\n" for index in range(number)))
            tracemalloc.start()
            write(checkpoints["promoter"], tmp_path / "many.fa", output=output)
            peaks[number] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peaks[8_000] < peaks[2_000] + 200_000  # 8,000 records are 2 MB of Python strings
