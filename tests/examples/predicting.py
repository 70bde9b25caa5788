"""Tiny checkpoints and input files for the tests of `predict.py`, and how it is run on them."""

from __future__ import annotations

import random

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from examples import predict
from modeling_genebert import (
    GeneBertFeatureExtractor,
    GeneBertForMaskedLM,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertProcessor,
    GeneBertTokenizer,
    MotifBank,
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
