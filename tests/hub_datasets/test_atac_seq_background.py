from __future__ import annotations

import json

import numpy as np
import pytest
from datasets import load_dataset

from hub_datasets.atac_seq import build_atac_seq
from hub_datasets.atac_seq.background import choose_background
from hub_datasets.atac_seq.reader import AtacSeqSet, BackgroundDataset
from hub_datasets.atac_seq.windows import AtacSeqOptions
from hub_datasets.genome import Genome
from modeling_genebert.dna_genebert import decode_dna, encode_dna


@pytest.fixture
def genome(tmp_path):
    """chr1 of 45 bp with N at 8 to 12, 19 and 30 to 39; chr2 of 25 bp, all known; chr3 of 4 bp."""
    chr1 = list("ACGTACGTAC" * 4 + "ACGTA")
    for place in (*range(8, 12), 19, *range(30, 40)):
        chr1[place] = "N"
    (tmp_path / "genome.fa").write_text(f">chr1\n{''.join(chr1)}\n>chr2\n{'GATTACA' * 3}GATT\n>chr3\nACGT\n")
    return Genome(tmp_path / "genome.fa")


def places(genome, **options):
    chrom, start = choose_background(genome, AtacSeqOptions(region_width=10, **options))
    assert chrom.dtype == start.dtype == np.int32
    return list(zip(chrom.tolist(), start.tolist(), strict=True))


def test_tiles_without_unknown_bases(genome):
    # Of chr1, 0-10 has two N, 10-20 three, 30-40 ten.
    assert places(genome, num_background=100) == [(0, 20), (1, 0), (1, 10)]


def test_tiles_with_some_unknown_bases(genome):
    assert places(genome, num_background=100, max_n_fraction=0.2) == [(0, 0), (0, 20), (1, 0), (1, 10)]
    assert places(genome, num_background=100, max_n_fraction=0.3)[:3] == [(0, 0), (0, 10), (0, 20)]


def test_equal_steps(genome):
    assert places(genome, num_background=2, max_n_fraction=0.2) == [(0, 0), (1, 0)]
    assert places(genome, num_background=0) == []


def test_held_out_chromosomes_have_none(genome):
    assert places(genome, num_background=100, validation_chromosomes=["chr1"]) == [(1, 0), (1, 10)]
    assert places(genome, num_background=100, test_chromosomes=["chr2"]) == [(0, 20)]
    assert places(genome, num_background=100, test_chromosomes=["chr1", "chr2"]) == []


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="num_background=-1: expected at least 0"):
        AtacSeqOptions(num_background=-1)


@pytest.fixture(scope="module")
def folder(atlas_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("background") / "set"
    build_atac_seq(
        genome=atlas_folder / "genome.fa",
        peaks=atlas_folder / "peaks",
        motifs=atlas_folder / "motifs.safetensors",
        output_dir=folder,
        num_regions=8,
        validation_chromosomes=["chr3"],
        num_background=50,
    )
    return folder


def test_built_config(folder, atlas_folder):
    rows = load_dataset(str(folder), "background", split="train")
    genome = Genome(atlas_folder / "genome.fa")
    assert len(rows) == 50 == json.loads((folder / "build_info.json").read_text())["num_background"]
    assert set(rows["chrom"]) == {"chr1", "chr2"}
    for row in rows:
        assert row["sequence"] == genome.fetch(row["chrom"], row["start"], row["end"])
        assert len(row["sequence"]) == 500
    assert "The config `background` has 50 sequences of 500 bp" in (folder / "README.md").read_text()


def test_examples(folder):
    background = AtacSeqSet.load(folder).background
    rows = np.array([[7, 3], [3, 9]])
    examples = BackgroundDataset(background, rows, seed=1, segment_length=200)
    assert len(examples) == 2
    example = examples[0]
    assert decode_dna(example["segment_a"]) in background.row(7).tobytes().decode()
    assert decode_dna(example["segment_b"]) in background.row(3).tobytes().decode()
    assert len(example["segment_a"]) == len(example["segment_b"]) == 200
    assert (example["ngsp_label"], example["srm_label"]) == (-100, -100)
    assert example["tiled_segment"] is example["segment_a"]
    np.testing.assert_array_equal(examples[0]["segment_a"], example["segment_a"])
    other_epoch = BackgroundDataset(background, rows, seed=2, segment_length=200)
    assert (other_epoch[0]["segment_a"] != example["segment_a"]).any()
    whole = BackgroundDataset(background, rows, seed=1, segment_length=500)
    np.testing.assert_array_equal(whole[1]["segment_a"], encode_dna(background.row(3).tobytes()))
    with pytest.raises(ValueError, match="segment_length=501 bp is longer than the regions, 500 bp"):
        BackgroundDataset(background, rows, seed=1, segment_length=501)


def test_a_set_without_background(atac):
    assert atac.background is None
