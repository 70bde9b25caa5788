from __future__ import annotations

import gzip
import json
import os
import random
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
from examples.prediction.context import CellTypeContext
from examples.prediction.predictor import Predictor, shared_bases
from examples.prediction.records import Change
from modeling_genebert import (
    GeneBertFeatureExtractor,
    GeneBertForMaskedLM,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertProcessor,
    GeneBertTokenizer,
    MotifBank,
    average_strands,
    reverse_complement,
)
from tests.modeling_genebert.conftest import make_model


LONGEST = 40  # bp: 38 3-mers, [CLS] and [SEP]
CHR1 = "".join(random.Random(1).choices("ACGT", k=300))
CHR2 = "N" * 60 + "".join(random.Random(2).choices("acgt", k=140))


def dna(length, seed=0):
    return "".join(random.Random(f"{length} {seed}").choices("ACGT", k=length))


def motif_bank():
    rng = np.random.default_rng(0)
    counts = [rng.integers(0, 20, size=(rng.integers(4, 9), 4)).astype(np.float32) + 1 for _ in range(20)]
    names = [f"TF{number}" for number in range(20)]
    return MotifBank([f"MX{number}.1" for number in range(20)], names, ["family"] * 20, counts)


def make_processor(bank, region_width=500):
    extractor = GeneBertFeatureExtractor(bank, num_regions=8, region_width=region_width)
    return GeneBertProcessor(extractor, GeneBertTokenizer(kmer=3, model_max_length=LONGEST))


def save(folder, model_class, processor, labels=None, **settings):
    bank = processor.feature_extractor.motif_bank
    if labels:
        settings |= {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    model = make_model(
        model_class,
        num_motifs=len(bank),
        motif_bank_fingerprint=bank.fingerprint,
        num_labels=len(labels) if labels else 1,
        **settings,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Checkpoints by name, as fine-tuning saves them."""
    folder, processor = tmp_path_factory.mktemp("checkpoints"), make_processor(motif_bank())
    classifier, per_base, variant = (
        GeneBertForSequenceClassification,
        GeneBertForTokenClassification,
        GeneBertForVariantEffect,
    )
    several = {"problem_type": "multi_label_classification"}
    made = {
        "promoter": save(folder / "promoter", classifier, processor, ["no", "yes"]),
        "several": save(folder / "several", classifier, processor, ["CTCF", "GATA1", "SPI1"], **several),
        "value": save(folder / "value", classifier, processor),
        "splice": save(folder / "splice", per_base, processor, ["neither", "donor", "acceptor"]),
        "effect": save(folder / "effect", variant, processor),
        "risk": save(folder / "risk", variant, processor, ["benign", "pathogenic"]),
        "masked": save(folder / "masked", GeneBertForMaskedLM, processor),
    }
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a genome of 300 and 200 bp (60 of them N), and inputs of all kinds."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "genome.fa").write_text(f">chr1\n{CHR1}\n>chr2\n{CHR2}\n")
    records = [(f"s{number}", dna(8 + 3 * number, number)) for number in range(10)]
    fasta = "".join(f">{name} some words\n{sequence[:7]}\n{sequence[7:].lower()}\n" for name, sequence in records)
    (folder / "sequences.fa").write_text(f"{fasta}>letters\nACGX\n>empty\n>unknown\nNNNN\n")
    return folder


def write(checkpoint, input_file, *arguments, output="out.parquet"):
    """The output file and the report."""
    output_file = input_file.parent / output
    places = ["--model_name_or_path", checkpoint, "--input_file", input_file, "--output_file", output_file]
    return output_file, predict.main([*map(str, places), "--device", "cpu", *map(str, arguments)])


def run(checkpoint, input_file, *arguments, output="out.parquet"):
    """Rows of the output, as dictionaries (the text, of CSV), and the report."""
    output_file, report = write(checkpoint, input_file, *arguments, output=output)
    return pq.read_table(output_file).to_pylist() if output.endswith(".parquet") else output_file.read_text(), report


def logits_of(checkpoint, model_class, *sequences, **inputs):
    """What a user's own lines give."""
    model, processor = model_class.from_pretrained(checkpoint).eval(), GeneBertProcessor.from_pretrained(checkpoint)
    with torch.no_grad():
        return model(**processor(*sequences, padding=True, return_tensors="pt", **inputs)).logits.double()


def sequences_of(fasta_rows):
    return [dna(8 + 3 * number, number) for number in range(len(fasta_rows))]


def write_vcf(path, *records):
    head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path.write_text(head + "".join("\t".join(map(str, record)) + "\t.\t.\t.\n" for record in records))
    return path


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
    command = [sys.executable, Path(predict.__file__).resolve(), *options]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
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


# Places on a genome


def test_bed(checkpoints, files, tmp_path):
    (tmp_path / "places.bed").write_text(
        "track name=x\n#chrom start end\nchr1\t10\t40\tforward\t0\t+\nchr1\t10\t40\tback\t0\t-\nchr2 100 120\n"
        "chr2\t0\t20\nchr2\t190\t210\nchr7\t0\t10\n"
    )
    rows, report = run(checkpoints["promoter"], tmp_path / "places.bed", "--genome", files / "genome.fa")
    places = [tuple(row.values())[:5] for row in rows]
    assert places == [
        ("chr1", 10, 40, "forward", "+"),
        ("chr1", 10, 40, "back", "-"),
        ("chr2", 100, 120, "chr2:100-120", "."),
    ]
    sequences = [CHR1[10:40], reverse_complement(CHR1[10:40]), CHR2[100:120]]
    expected = logits_of(checkpoints["promoter"], GeneBertForSequenceClassification, sequences).softmax(-1)[:, 1]
    np.testing.assert_allclose([row["probability_yes"] for row in rows], expected, atol=1e-6)
    path = str(tmp_path / "places.bed")
    assert report["examples_of_skipped"] == {
        "no known base": [f"{path}:6: chr2:0-20"],
        "not inside of the chromosome": [f"{path}:7: chr2:190-210; predicted from 190-210 of 200 bp"],
        "chromosome that the genome does not have": [f"{path}:8: chr7:0-10"],
    }


def test_bed_of_one_width(checkpoints, files, tmp_path):
    (tmp_path / "peaks.narrowPeak").write_text("chr1\t100\t300\tpeak\t0\t.\t5.0\t-1\t-1\t20\nchr1\t2\t6\n")
    options = ("--genome", files / "genome.fa", "--width", 31)
    rows, report = run(checkpoints["value"], tmp_path / "peaks.narrowPeak", *options)
    logits = logits_of(checkpoints["value"], GeneBertForSequenceClassification, [CHR1[185:216]])
    expected = {"chrom": "chr1", "start": 185, "end": 216, "id": "peak", "strand": "."}
    assert rows == [{**expected, "prediction": pytest.approx(logits.item(), abs=1e-6)}]
    assert report["skipped"] == {"not inside of the chromosome": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("chr1\t10\n", r"bad.bed:1: found 'chr1\\t10', expected a chromosome, a start and an end"),
        ("chr1\t10\tx\n", "bad.bed:1"),
        ("chr1\t0\t10\nchr1\t10\t10\n", "bad.bed:2"),
        ("1\t0\t10\n", "has none of its chromosomes, such as '1'; '1' here seems to be 'chr1' there"),
    ],
)
def test_bad_bed(checkpoints, files, tmp_path, content, message):
    (tmp_path / "bad.bed").write_text(content)
    with pytest.raises(ValueError, match=message):
        run(checkpoints["promoter"], tmp_path / "bad.bed", "--genome", files / "genome.fa")


# Variants


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """An SNV, a bad REF, three alleles of which one is symbolic, an insertion at the end, and one beyond it."""
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    snv, deleted = CHR1[99], CHR1[149:152]
    return write_vcf(
        tmp_path_factory.mktemp("variants") / "variants.vcf",
        ("chr1", 100, "rs1", snv, other[snv]),
        ("chr1", 120, "rs2", other[CHR1[119]], CHR1[119]),
        ("1", 150, ".", deleted, f"{deleted[0]},{deleted}TTT,<DEL>"),
        ("chr1", 300, ".", CHR1[299], CHR1[299] + "TT"),
        ("chr1", 301, ".", "A", "C"),
    )


def windows_of_variants():
    """Windows of 31 bp with both alleles of those variants that can be used."""
    snv = {"A": "C", "C": "G", "G": "T", "T": "A"}[CHR1[99]]
    inserted = CHR1[:152] + "TTT" + CHR1[152:]
    return [
        (CHR1[84:115], CHR1[84:99] + snv + CHR1[100:115]),
        (CHR1[136:167], CHR1[136:150] + CHR1[152:169]),
        (CHR1[137:168], inserted[137:168]),
        (CHR1[285:300], (CHR1[285:300] + "TT")[:15]),
    ]


def test_variants(checkpoints, files, variants):
    options = ("--genome", files / "genome.fa", "--width", 31)
    rows, report = run(checkpoints["effect"], variants, *options)
    deleted = CHR1[149:152]
    assert [tuple(row.values())[:5] for row in rows] == [
        ("chr1", 100, "rs1", CHR1[99], {"A": "C", "C": "G", "G": "T", "T": "A"}[CHR1[99]]),
        ("chr1", 150, f"chr1-150-{deleted}-{deleted[0]}", deleted, deleted[0]),
        ("chr1", 150, f"chr1-150-{deleted}-{deleted}TTT", deleted, f"{deleted}TTT"),
        ("chr1", 300, f"chr1-300-{CHR1[299]}-{CHR1[299]}TT", CHR1[299], f"{CHR1[299]}TT"),
    ]
    reference, alternate = map(list, zip(*windows_of_variants(), strict=True))
    logits = logits_of(checkpoints["effect"], GeneBertForVariantEffect, reference, alt_sequences=alternate)
    np.testing.assert_allclose([row["prediction"] for row in rows], logits[:, 0], atol=1e-6)
    assert report["skipped"] == {
        "REF differs from the genome": 1,
        "symbolic allele (such as <DEL>)": 1,
        "position outside of the chromosome": 1,
    }
    (example,) = report["examples_of_skipped"]["REF differs from the genome"]
    assert example.startswith(f"{variants}:4: chr1-120-")
    assert (report["read"], report["predicted"]) == (7, 4)

    rows, _ = run(checkpoints["risk"], variants, *options, "--average_strands")
    model, processor = (
        GeneBertForVariantEffect.from_pretrained(checkpoints["risk"]),
        GeneBertProcessor.from_pretrained(checkpoints["risk"]),
    )
    logits = average_strands(model, processor, reference, alt_sequences=alternate).logits
    np.testing.assert_allclose([row["probability_pathogenic"] for row in rows], logits.softmax(-1)[:, 1], atol=1e-6)
    assert {row["prediction"] for row in rows} <= {"benign", "pathogenic"}


def test_a_model_of_sequences_scores_both_alleles(checkpoints, files, variants):
    rows, _ = run(checkpoints["promoter"], variants, "--genome", files / "genome.fa", "--width", 31)
    reference, alternate = map(list, zip(*windows_of_variants(), strict=True))
    ref, alt = (
        logits_of(checkpoints["promoter"], GeneBertForSequenceClassification, alleles)
        for alleles in (reference, alternate)
    )
    np.testing.assert_allclose([row["ref_yes"] for row in rows], ref.softmax(-1)[:, 1], atol=1e-6)
    np.testing.assert_allclose([row["alt_yes"] for row in rows], alt.softmax(-1)[:, 1], atol=1e-6)
    log_odds = (alt[:, 1] - alt[:, 0]) - (ref[:, 1] - ref[:, 0])
    np.testing.assert_allclose([row["effect_yes"] for row in rows], log_odds, atol=1e-5)
    np.testing.assert_allclose([row["effect_no"] for row in rows], -log_odds, atol=1e-5)

    rows, _ = run(checkpoints["value"], variants, "--genome", files / "genome.fa", "--width", 31)
    assert list(rows[0])[5:] == ["ref_prediction", "alt_prediction", "effect_prediction"]
    assert rows[0]["effect_prediction"] == pytest.approx(rows[0]["alt_prediction"] - rows[0]["ref_prediction"])


# Start of each window, 0-based, and its bases that both alleles have, in the reference and in the alternate window.
SHARED = [
    (84, range(31), range(31)),
    (136, [*range(14), *range(16, 31)], [*range(14), *range(14, 29)]),
    (137, range(28), [*range(15), *range(18, 31)]),
    (285, range(15), range(15)),
]


def test_a_model_per_base_gives_gains_and_losses(checkpoints, files, variants):
    rows, _ = run(checkpoints["splice"], variants, "--genome", files / "genome.fa", "--width", 31)
    for row, alleles, (start, ref_bases, alt_bases) in zip(rows, windows_of_variants(), SHARED, strict=True):
        ref, alt = (
            logits_of(checkpoints["splice"], GeneBertForTokenClassification, [allele]).softmax(-1)[0, :, 1].numpy()
            for allele in alleles
        )
        change = alt[list(alt_bases)] - ref[list(ref_bases)]
        positions = np.array(ref_bases) + start + 1
        assert row["gain_donor"] == pytest.approx(max(0, change.max()), abs=1e-6)
        assert row["loss_donor"] == pytest.approx(max(0, -change.min()), abs=1e-6)
        assert (row["gain_donor_pos"], row["loss_donor_pos"]) == (
            positions[change.argmax()],
            positions[change.argmin()],
        )


def test_bases_that_both_alleles_have():
    def pairs(change, ref_length, alt_length):
        return [array.tolist() for array in shared_bases(change, ref_length, alt_length)]

    assert pairs(Change(2, 1, 1), 5, 5) == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert pairs(Change(2, 2, 1), 6, 6) == [[0, 1, 2, 4, 5], [0, 1, 2, 3, 4]]  # base 3 deleted
    assert pairs(Change(2, 1, 3), 6, 6) == [[0, 1, 2, 3], [0, 1, 2, 5]]  # two bases inserted after base 2
    assert pairs(Change(0, 1, 1), 3, 3) == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize(
    ("records", "arguments", "message"),
    [
        ([("chr1", 1, ".", CHR1[0], "N")], [], "pass --width, the bp round a variant that the model was trained on"),
        ([("chrX", 1, ".", "A", "C")], ["--width", 31], "has none of its chromosomes: found chrX"),
        ([("chr1", 50, ".", CHR1[49], f"{CHR1[49]}A")], ["--width", 99], "99 bp, expected at most 40 bp. Alleles are"),
    ],
)
def test_bad_variants(checkpoints, files, tmp_path, records, arguments, message):
    path = write_vcf(tmp_path / "bad.vcf", *records)
    with pytest.raises(ValueError, match=message):
        run(checkpoints["effect"], path, "--genome", files / "genome.fa", *arguments)


def test_alleles_longer_than_the_window_are_skipped(checkpoints, files, tmp_path):
    path = write_vcf(tmp_path / "long.vcf", ("chr1", 50, ".", CHR1[49], CHR1[49] + "A" * 50))
    rows, report = run(checkpoints["effect"], path, "--genome", files / "genome.fa", "--width", 31)
    assert rows == []
    assert report["skipped"] == {"allele longer than the window takes": 1}


# Bases


def test_summary_and_sites(checkpoints, files, tmp_path):
    (tmp_path / "places.bed").write_text("chr1\t10\t40\tforward\t0\t+\nchr1\t10\t40\tback\t0\t-\n")
    options = ("--genome", files / "genome.fa")
    rows, _ = run(checkpoints["splice"], tmp_path / "places.bed", *options)
    sites, report = run(
        checkpoints["splice"], tmp_path / "places.bed", *options, "--per_base", "sites", "--min_probability", 0.4
    )
    sequences = [CHR1[10:40], reverse_complement(CHR1[10:40])]
    probabilities = logits_of(checkpoints["splice"], GeneBertForTokenClassification, sequences).softmax(-1).numpy()
    expected = []
    for row, own, position in zip(rows, probabilities, (lambda base: 10 + base, lambda base: 39 - base), strict=True):
        assert row["bases_donor"] == (own.argmax(-1) == 1).sum()
        assert row["max_acceptor"] == pytest.approx(own[:, 2].max(), abs=1e-6)
        assert row["max_start_acceptor"] == position(own[:, 2].argmax())
        for base in range(30):
            for label, name in ((1, "donor"), (2, "acceptor")):
                if own[base, label] >= 0.4:
                    start, probability = position(base), pytest.approx(own[base, label], abs=1e-6)
                    place = {"chrom": "chr1", "start": start, "end": start + 1, "id": row["id"]}
                    site = {"strand": row["strand"], "prediction": name, "probability": probability}
                    expected.append({**place, **site})
    assert sites == expected
    assert (report["predicted"], report["rows"]) == (2, len(expected))


# Cell types


@pytest.fixture(scope="module")
def binding(atac, tmp_path_factory):
    """A classifier that reads the motifs of the tiny atlas."""
    processor = make_processor(atac.motif_bank)
    folder = tmp_path_factory.mktemp("binding")
    return save(folder, GeneBertForSequenceClassification, processor, ["free", "bound"])


def test_context_is_that_of_training(atac_folder, atac):
    windows, region_ids = atac.windows("train")
    store = atac.regions
    for cell_type, name in enumerate(atac.cell_types[:3]):
        context = CellTypeContext(str(atac_folder), name, num_regions=8, region_width=500)
        for row in np.flatnonzero(windows.cell_type == cell_type)[::40]:
            ids = region_ids.row(row)
            ids = ids[ids >= 0]
            anchor = int(windows.anchor[row])
            chrom = store.chromosomes[store.chrom[anchor]]
            found = context.around(chrom, int(store.centre[anchor]), "A")
            assert found.positions == store.centre[ids].tolist()
            assert found.regions == [store.sequences.row(index).tobytes().decode() for index in ids]
            assert found.anchor == ids.tolist().index(anchor)
            np.testing.assert_array_equal(
                np.array(found.accessibility, dtype=np.float32), store.accessibility.take(ids)[:, cell_type]
            )


def test_context_where_nothing_is_open(atac_folder, atac):
    context = CellTypeContext(str(atac_folder), "sim01", num_regions=8, region_width=500)
    store = atac.regions
    closed = int(np.flatnonzero(~store.is_open[:, atac.cell_types.index("sim01")])[0])
    found = context.around(store.chromosomes[store.chrom[closed]], int(store.start[closed]), "A")
    assert found.accessibility[found.anchor] == 0.0
    assert found.positions[found.anchor] == store.centre[closed]
    assert len(found.regions) > 1
    gap = int(np.flatnonzero(np.diff(store.start[store.chrom == 0]) > 1200)[0])
    middle = int(store.start[gap]) + 700
    sequence = dna(601)
    found = context.around(store.chromosomes[0], middle, sequence)
    assert found.regions[found.anchor] == sequence[50:550]
    assert (found.accessibility[found.anchor], found.positions[found.anchor]) == (0.0, middle)
    assert context.around("chrUn", 5, "ACGT").regions == ["ACGT"]


def test_a_cell_type(binding, atac_folder, atac, atlas_folder, tmp_path):
    store = atac.regions
    places = [(store.chromosomes[store.chrom[row]], int(store.centre[row])) for row in (3, 11, 20)]
    lines = [f"{chrom}\t{centre - 20}\t{centre + 20}\n" for chrom, centre in places]
    (tmp_path / "places.bed").write_text("".join(lines))
    genome = ("--genome", atlas_folder / "genome.fa")
    cells = {}
    for cell_type in ("sim01", "sim04"):
        options = ("--atac_seq_dir", atac_folder, "--cell_type", cell_type)
        rows, _ = run(binding, tmp_path / "places.bed", *genome, *options)
        cells[cell_type] = [row["probability_bound"] for row in rows]
    assert cells["sim01"] != cells["sim04"]

    context = CellTypeContext(str(atac_folder), "sim04", num_regions=8, region_width=500)
    found = [context.around(chrom, centre, "") for chrom, centre in places]
    sequences = [store.sequences.row(row).tobytes().decode()[230:270] for row in (3, 11, 20)]
    names = ("regions", "positions", "accessibility", "anchor")
    inputs = {name: [getattr(one, name) for one in found] for name in names}
    logits = logits_of(binding, GeneBertForSequenceClassification, sequences, **inputs)
    np.testing.assert_allclose(cells["sim04"], logits.softmax(-1)[:, 1], atol=1e-6)


def test_a_table_with_context_of_its_own(binding, tmp_path):
    regions = {"chrom": ["chr1"] * 4, "start": [0, 100, 300, 500], "end": [50, 150, 350, 550]}
    regions["sequence"] = [dna(50, number) for number in range(4)]
    pq.write_table(pa.table(regions), tmp_path / "regions.parquet")
    table = {"sequence": [dna(30), dna(35)], "region_ids": [[0, 1, 2], [3]], "anchor": [1, 0]}
    table["accessibility"] = [[0.5, float("nan"), 0.0], [1.0]]
    pq.write_table(pa.table(table), tmp_path / "table.parquet")
    text = "sequence\tregion_ids\tanchor\taccessibility\n"
    text += f"{dna(30)}\t0;1;2\t1\t0.5;nan;0\n{dna(35)}\t3\t\t1\n"
    (tmp_path / "table.tsv").write_text(text)
    inputs = {
        "regions": [regions["sequence"][:3], regions["sequence"][3:]],
        "positions": [[25, 125, 325], [525]],
        "accessibility": [[0.5, None, 0.0], [1.0]],
        "anchor": [1, 0],
    }
    logits = logits_of(binding, GeneBertForSequenceClassification, [dna(30), dna(35)], **inputs)
    for name in ("table.parquet", "table.tsv"):
        rows, _ = run(binding, tmp_path / name, "--regions_file", tmp_path / "regions.parquet")
        np.testing.assert_allclose([row["probability_bound"] for row in rows], logits.softmax(-1)[:, 1], atol=1e-6)
    (tmp_path / "bad.tsv").write_text(f"sequence\tregion_ids\n{dna(30)}\t4\n")
    with pytest.raises(ValueError, match=r"bad.tsv:2: region_ids \[4\], expected row numbers from 0 to 3"):
        run(binding, tmp_path / "bad.tsv", "--regions_file", tmp_path / "regions.parquet")


def test_cell_types_that_cannot_be_used(binding, atac_folder, files, tmp_path):
    options = ("--atac_seq_dir", atac_folder, "--cell_type")
    with pytest.raises(ValueError, match="no cell type 'B', it has sim01, sim02, sim03, sim04"):
        run(binding, files / "sequences.fa", *options, "B")
    with pytest.raises(ValueError, match=r"sequences.fa:1: record 's0': no place on the genome, expected chrom"):
        run(binding, files / "sequences.fa", *options, "sim01")
    model = GeneBertForSequenceClassification.from_pretrained(binding)
    model.config.update({"with_context": True})
    model.save_pretrained(tmp_path)
    GeneBertProcessor.from_pretrained(binding).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="was trained with the open regions round each sequence: pass --atac_seq_dir"):
        run(tmp_path, files / "sequences.fa")
    with pytest.raises(SystemExit):
        run(binding, files / "sequences.fa", "--cell_type", "sim01")
    narrow = make_processor(GeneBertProcessor.from_pretrained(binding).feature_extractor.motif_bank, region_width=200)
    save(tmp_path, GeneBertForSequenceClassification, narrow, ["free", "bound"])
    with pytest.raises(ValueError, match="its regions are 500 bp wide, but the model takes at most 200 bp"):
        run(tmp_path, files / "sequences.fa", *options, "sim01")
