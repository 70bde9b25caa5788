from __future__ import annotations

import shutil

import numpy as np
import pytest
from datasets import load_dataset

from hub_datasets.atac_seq import build_atac_seq
from hub_datasets.atac_seq.reader import AtacSeqSet, PreTrainingDataset
from modeling_genebert.dna_genebert import encode_dna
from modeling_genebert.motifs_genebert import MotifBank
from modeling_genebert.pairing_genebert import PairingPlan, training_plan


ANCHOR = 3  # column of the anchor among 8


@pytest.fixture(scope="module")
def rows(atac_folder, tmp_path_factory):
    """The same set as `datasets` reads it: regions and windows as plain Python rows."""
    cache = str(tmp_path_factory.mktemp("cache"))
    regions = load_dataset(str(atac_folder), "regions", split="train", cache_dir=cache)
    windows = load_dataset(str(atac_folder), "windows", cache_dir=cache)
    return {"regions": list(regions), **{split: list(table) for split, table in windows.items()}}


def test_regions(atac, rows):
    regions = atac.regions
    assert regions.codes.shape == (len(rows["regions"]), 500)
    assert regions.scores.shape == (len(rows["regions"]), 32) and regions.scores.dtype == np.float16
    for number, row in enumerate(rows["regions"]):
        assert (regions.chrom[number], regions.start[number]) == (row["chrom"], row["start"])
        assert regions.centre[number] == row["start"] + 250
        assert regions.gc[number] == pytest.approx(row["gc"])
        np.testing.assert_array_equal(regions.codes[number], encode_dna(row["sequence"]))
        np.testing.assert_array_equal(regions.scores[number], np.frombuffer(row["scores"], "<f2"))
        np.testing.assert_array_equal(regions.accessibility[number], np.array(row["accessibility"], dtype=np.float32))
    assert atac.cell_types == ["sim01", "sim02", "sim03", "sim04"]
    assert atac.num_regions == 8
    assert len(atac.motif_bank) == 32


def test_windows_of_each_split(atac, rows):
    splits = ["train", "validation", "train_unseen_cell_types", "validation_unseen_cell_types"]
    assert sorted(atac.splits) == sorted(splits)
    for split in splits:
        windows, region_ids = atac.windows(split)
        assert len(windows) == len(rows[split]) > 5
        for name in ("cell_type", "start", "end", "anchor", "next_region"):
            np.testing.assert_array_equal(getattr(windows, name), [row[name] for row in rows[split]])
        np.testing.assert_array_equal(region_ids, [row["region_ids"] for row in rows[split]])
        np.testing.assert_array_equal(region_ids[:, ANCHOR], windows.anchor)
        same_chromosome = np.array([[row["chrom"] == other["chrom"] for other in rows[split]] for row in rows[split]])
        np.testing.assert_array_equal(windows.chrom[:, None] == windows.chrom, same_chromosome)
        np.testing.assert_array_equal(windows.region_open, atac.regions.accessibility > 0)
        # Each anchor is open in its cell type.
        assert windows.region_open[windows.anchor, windows.cell_type].all()


def test_splits_together(atac, rows):
    windows, region_ids = atac.windows("validation", "validation_unseen_cell_types", "no_such_split")
    both = rows["validation"] + rows["validation_unseen_cell_types"]
    np.testing.assert_array_equal(windows.anchor, [row["anchor"] for row in both])
    np.testing.assert_array_equal(region_ids, [row["region_ids"] for row in both])
    assert set(windows.cell_type) == {0, 1, 2, 3}
    with pytest.raises(ValueError, match=r"none of the splits \['test'\], only \['train'"):
        atac.windows("test")


def make_dataset(atac, plan, **arguments):
    windows, region_ids = atac.windows("train")
    return PreTrainingDataset(atac, windows, region_ids, plan, **{"seed": 5, **arguments})


def test_every_example_of_a_plan(atac, rows):
    windows, _ = atac.windows("train")
    plan = training_plan(windows, np.random.default_rng(0), self_tiled_fraction=0.3)
    dataset = make_dataset(atac, plan, segment_length=100)
    assert len(dataset) == len(rows["train"])
    seen = set()
    for index in range(len(dataset)):
        example, window = dataset[index], rows["train"][index]
        shown = rows["train"][plan.matrix_row[index]]
        seen.add((bool(plan.self_tiled[index]), bool(plan.hidden[index]), int(plan.srm_label[index])))

        def central(region):
            return encode_dna(rows["regions"][region]["sequence"][200:300])

        np.testing.assert_array_equal(example["segment_a"], central(window["anchor"]))
        if plan.segment_b[index] == -1:
            assert example["segment_b"] is None
        else:
            np.testing.assert_array_equal(example["segment_b"], central(plan.segment_b[index]))
        assert (example["ngsp_label"], example["srm_label"]) == (plan.ngsp_label[index], plan.srm_label[index])
        assert example["seed"] == (5, index)
        if plan.self_tiled[index]:
            np.testing.assert_array_equal(example["tiled_segment"], central(shown["anchor"]))
            assert "scores" not in example
            continue
        assert example["tiled_segment"] is None
        anchor_start = rows["regions"][shown["anchor"]]["start"]
        for column, region in enumerate(shown["region_ids"]):
            hidden = plan.hidden[index] and column in (ANCHOR, ANCHOR + 1)
            assert example["region_mask"][column] == (region != -1 and not hidden)
            if not example["region_mask"][column]:
                continue
            row = rows["regions"][region]
            np.testing.assert_array_equal(example["scores"][column], np.frombuffer(row["scores"], "<f2"))
            assert example["accessibility"][column] == np.float32(row["accessibility"][shown["cell_type"]])
            assert example["distances"][column] == row["start"] - anchor_start
    assert len(seen) >= 6


def test_columns_that_are_hidden_do_not_change_the_plan(atac):
    windows, region_ids = atac.windows("train")
    before = region_ids.copy()
    plan = training_plan(windows, np.random.default_rng(0), hidden_fraction=1.0)
    dataset = PreTrainingDataset(atac, windows, region_ids, plan, seed=0)
    for index in range(len(dataset)):
        _ = dataset[index]
    np.testing.assert_array_equal(region_ids, before)


def test_segments_are_central_and_no_longer_than_a_region(atac):
    windows, _ = atac.windows("train")
    plan = training_plan(windows, np.random.default_rng(0))
    whole = make_dataset(atac, plan, segment_length=500)[0]["segment_a"]
    np.testing.assert_array_equal(make_dataset(atac, plan)[0]["segment_a"], whole[122:378])
    np.testing.assert_array_equal(make_dataset(atac, plan, segment_length=3)[0]["segment_a"], whole[248:251])
    with pytest.raises(ValueError, match="segment_length=501 bp is longer than the regions, 500 bp"):
        make_dataset(atac, plan, segment_length=501)


def test_missing_columns_are_masked(atac):
    _, region_ids = atac.windows("train")
    row = int(np.flatnonzero(region_ids[:, 0] == -1)[0])
    one = {"row": np.array([row]), "matrix_row": np.array([row]), "segment_b": np.array([-1])}
    labels = {"ngsp_label": np.array([-100]), "srm_label": np.array([1])}
    plan = PairingPlan(**one, **labels, hidden=np.array([False]), self_tiled=np.array([False]))
    example = make_dataset(atac, plan)[0]
    np.testing.assert_array_equal(example["region_mask"], region_ids[row] != -1)
    assert not example["region_mask"][0]


def test_two_sets_whose_folders_have_one_name(atlas_folder, tmp_path):
    """`load_dataset` caches by the folder's name and the `configs` of its card, so these must differ."""
    sizes = []
    for name, stride in [("one", 1), ("two", 3)]:
        info = build_atac_seq(
            genome=atlas_folder / "genome.fa",
            peaks=atlas_folder / "peaks" / "sim01.narrowPeak.gz",
            motifs=atlas_folder / "motifs.safetensors",
            output_dir=tmp_path / name / "dataset",
            stride=stride,
        )
        sizes.append(info["splits"]["train"])
        assert len(AtacSeqSet.load(tmp_path / name / "dataset").splits["train"]) == sizes[-1]
    assert sizes[0] > sizes[1]


def test_a_set_that_was_built_again(atlas_folder, tmp_path):
    sizes = []
    for stride in (1, 3):
        build_atac_seq(
            genome=atlas_folder / "genome.fa",
            peaks=atlas_folder / "peaks" / "sim01.narrowPeak.gz",
            motifs=atlas_folder / "motifs.safetensors",
            output_dir=tmp_path / "atlas",
            stride=stride,
            overwrite=True,
        )
        sizes.append(len(AtacSeqSet.load(tmp_path / "atlas").splits["train"]))
    assert sizes[0] == pytest.approx(3 * sizes[1], abs=3)


def test_a_damaged_set(atac_folder, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(atac_folder, folder)
    bank = MotifBank.load(folder / "motifs.safetensors")
    bank.subset(bank.ids[:7]).save(folder / "motifs.safetensors")
    with pytest.raises(ValueError, match=r"hold scores of 32 motifs, but its motifs.safetensors has 7: .* build it"):
        AtacSeqSet.load(folder)
    with pytest.raises(FileNotFoundError, match="windows: no Parquet files, expected a folder that build_atac_seq"):
        AtacSeqSet.load(tmp_path)
