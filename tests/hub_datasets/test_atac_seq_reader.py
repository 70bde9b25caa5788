from __future__ import annotations

import itertools
import pickle
import shutil

import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets, load_dataset
from torch.utils.data import DataLoader

from hub_datasets.atac_seq import build_atac_seq
from hub_datasets.atac_seq.reader import AtacSeqSet, MappedRows, PreTrainingDataset, RegionStore
from modeling_genebert import GeneBertDataCollatorForPreTraining, GeneBertFeatureExtractor
from modeling_genebert.dna_genebert import decode_dna, encode_dna, reverse_complement
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
    regions, numbers = atac.regions, np.arange(len(rows["regions"]))
    scores, accessibility = regions.scores.take(numbers), regions.accessibility.take(numbers)
    segments = regions.segments(numbers, 500)
    assert scores.shape == (len(numbers), 32) and scores.dtype == np.float16
    for number, row in enumerate(rows["regions"]):
        assert (regions.chromosomes[regions.chrom[number]], regions.start[number]) == (row["chrom"], row["start"])
        assert regions.centre[number] == row["start"] + 250
        assert regions.gc[number] == pytest.approx(row["gc"])
        np.testing.assert_array_equal(segments[number], encode_dna(row["sequence"]))
        np.testing.assert_array_equal(regions.segment(number, 100), encode_dna(row["sequence"][200:300]))
        np.testing.assert_array_equal(scores[number], np.frombuffer(row["scores"], "<f2"))
        np.testing.assert_array_equal(regions.scores.row(number), scores[number])
        np.testing.assert_array_equal(accessibility[number], np.array(row["accessibility"], dtype=np.float32))
        np.testing.assert_array_equal(regions.is_open[number], accessibility[number] > 0)
        closed = [
            not (value > 0 or touched) for value, touched in zip(row["accessibility"], row["touching"], strict=True)
        ]
        assert regions.is_closed[number].tolist() == closed
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
        all_ids = region_ids.take(np.arange(len(region_ids)))
        np.testing.assert_array_equal(all_ids, [row["region_ids"] for row in rows[split]])
        np.testing.assert_array_equal(all_ids[:, ANCHOR], windows.anchor)
        same_chromosome = np.array([[row["chrom"] == other["chrom"] for other in rows[split]] for row in rows[split]])
        np.testing.assert_array_equal(windows.chrom[:, None] == windows.chrom, same_chromosome)
        assert windows.region_closed is atac.regions.is_closed
        # Each anchor is open in its cell type.
        assert atac.regions.is_open[windows.anchor, windows.cell_type].all()


def test_splits_together(atac, rows):
    windows, region_ids = atac.windows("validation", "validation_unseen_cell_types", "no_such_split")
    both = rows["validation"] + rows["validation_unseen_cell_types"]
    np.testing.assert_array_equal(windows.anchor, [row["anchor"] for row in both])
    np.testing.assert_array_equal(region_ids.take(np.arange(len(both))), [row["region_ids"] for row in both])
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
    assert len(dataset) == 2 * len(rows["train"])
    seen = set()
    for index in range(len(dataset)):
        example, window = dataset[index], rows["train"][plan.row[index]]
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
        assert example["seed"] == (5, plan.row[index])
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


def test_random_parts_of_random_strands(atac, rows):
    windows, _ = atac.windows("train")
    plan = training_plan(windows, np.random.default_rng(0), self_tiled_fraction=0.3)
    dataset, other = (make_dataset(atac, plan, seed=seed, segment_length=100, random_segments=True) for seed in (5, 6))
    found = []
    for index in range(len(dataset)):
        example = dataset[index]
        regions = {"segment_a": windows.anchor[plan.row[index]], "segment_b": plan.segment_b[index]}
        if plan.self_tiled[index]:
            regions["tiled_segment"] = windows.anchor[plan.matrix_row[index]]
        places = {}
        for name, region in regions.items():
            if example[name] is None:
                continue
            sequence = rows["regions"][region]["sequence"]
            segment = decode_dna(example[name])
            places[name] = sequence.find(segment), sequence.find(reverse_complement(segment))
            assert sorted(place >= 0 for place in places[name]) == [False, True]
        if plan.self_tiled[index]:
            assert places["tiled_segment"] == places["segment_a"]  # or the place would tell what belongs together
        found.append(places["segment_a"])
        np.testing.assert_array_equal(example["segment_a"], dataset[index]["segment_a"])
    forward, opposite = np.array(found).T
    assert 0.3 < (forward >= 0).mean() < 0.7
    firsts = np.maximum(forward, opposite)
    assert firsts.min() < 40 and firsts.max() > 360 and len(set(firsts)) > 50
    assert sum((dataset[i]["segment_a"] != other[i]["segment_a"]).any() for i in range(20)) > 15


def test_columns_that_are_hidden_do_not_change_the_plan(atac):
    windows, region_ids = atac.windows("train")
    before = region_ids.take(np.arange(len(region_ids)))
    plan = training_plan(windows, np.random.default_rng(0), hidden_fraction=1.0)
    dataset = PreTrainingDataset(atac, windows, region_ids, plan, seed=0)
    for index in range(len(dataset)):
        _ = dataset[index]
    np.testing.assert_array_equal(region_ids.take(np.arange(len(region_ids))), before)


def test_segments_are_central_and_no_longer_than_a_region(atac):
    windows, _ = atac.windows("train")
    plan = training_plan(windows, np.random.default_rng(0))
    whole = make_dataset(atac, plan, segment_length=500)[0]["segment_a"]
    np.testing.assert_array_equal(make_dataset(atac, plan)[0]["segment_a"], whole[122:378])
    np.testing.assert_array_equal(make_dataset(atac, plan, segment_length=3)[0]["segment_a"], whole[248:251])
    with pytest.raises(ValueError, match="segment_length=501 bp is longer than the regions, 500 bp"):
        make_dataset(atac, plan, segment_length=501)


def test_missing_columns_are_masked(atac):
    windows, region_ids = atac.windows("train")
    row = next(row for row in range(len(windows)) if region_ids.row(row)[0] == -1)
    one = {"row": np.array([row]), "matrix_row": np.array([row]), "segment_b": np.array([-1])}
    labels = {"ngsp_label": np.array([-100]), "srm_label": np.array([1])}
    plan = PairingPlan(**one, **labels, hidden=np.array([False]), self_tiled=np.array([False]))
    example = make_dataset(atac, plan)[0]
    np.testing.assert_array_equal(example["region_mask"], region_ids.row(row) != -1)
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


def test_rows_are_read_where_they_are_mapped(atac):
    for rows in (atac.regions.scores, atac.regions.sequences, atac.regions.accessibility, atac.windows("train")[1]):
        assert rows.dataset.cache_files
        row = rows.row(0)
        assert not row.flags.owndata and not row.flags.writeable
        # A worker that is not forked gets the place of the file, not what is in it.
        pickled = pickle.dumps(rows)
        assert len(pickled) < 10_000
        again, indices = pickle.loads(pickled), np.arange(len(rows))
        np.testing.assert_array_equal(again.take(indices), rows.take(indices))


def test_rows_of_several_chunks():
    parts = [
        Dataset.from_dict({"text": ["ab", "cd", "ef"], "bytes": [b"\0\1\2\3"] * 3}),
        Dataset.from_dict({"text": ["gh"], "bytes": [b"\4\0\0\0"]}),
        Dataset.from_dict({"text": ["ij", "kl"], "bytes": [b"\0\0\1\0"] * 2}).select(range(1, 2)),
    ]
    dataset = concatenate_datasets([part.flatten_indices() for part in parts])
    text = MappedRows(dataset, "text", "S2")
    assert len(text) == 5 and text.width == 1
    assert [text.row(index)[0].decode() for index in range(5)] == ["ab", "cd", "ef", "gh", "kl"]
    assert text.take(np.array([4, 0, 3, 3, 1])).ravel().tolist() == [b"kl", b"ab", b"gh", b"gh", b"cd"]
    assert text.take(np.array([2, 1])).ravel().tolist() == [b"ef", b"cd"]
    numbers = MappedRows(dataset, "bytes", "<u2").take(np.arange(5))
    assert numbers.tolist() == [[256, 770], [256, 770], [256, 770], [4, 0], [0, 1]]


def test_rows_of_different_lengths_are_refused():
    dataset = Dataset.from_dict({"sequence": ["ACGT", "ACG"]})
    with pytest.raises(ValueError, match="column 'sequence' has rows of 3 to 4 bytes, expected one length"):
        MappedRows(dataset, "sequence", "uint8")


def test_batches_are_the_same_whatever_the_number_of_workers(atac):
    windows, _ = atac.windows("train")
    plan = training_plan(windows, np.random.default_rng(0), self_tiled_fraction=0.3)
    dataset = make_dataset(atac, plan.take(np.random.default_rng(1).permutation(len(plan))[:40]))
    collator = GeneBertDataCollatorForPreTraining(GeneBertFeatureExtractor(atac.motif_bank, num_regions=8))
    alone, *others = (
        list(DataLoader(dataset, batch_size=7, collate_fn=collator, num_workers=num_workers))
        for num_workers in (0, 1, 2)
    )
    assert len(alone) == 6
    for batches in others:
        for batch, expected in zip(batches, alone, strict=True):
            assert batch.keys() == expected.keys()
            for name, value in expected.items():
                assert torch.equal(batch[name], value), name


def test_what_is_held_of_a_window(atac):
    """At 17 million windows 54 bytes each are 0.92 GB; a plan is drawn anew each epoch, two examples a window."""
    windows, _ = atac.windows("train")
    per_window = [windows.cell_type, windows.chrom, windows.start, windows.end, windows.anchor, windows.next_region]
    plan = vars(training_plan(windows, np.random.default_rng(0))).values()
    assert sum(column.nbytes for column in per_window) == 22 * len(windows)
    assert sum(column.nbytes for column in plan) == 2 * 16 * len(windows)


def test_windows_as_a_stream(atac_folder, rows):
    """Without partners, but resumed exactly where it was left."""
    stream = load_dataset(str(atac_folder), "windows", split="train", streaming=True)
    first = list(itertools.islice(stream, 5))
    iterator = iter(stream)
    assert [next(iterator) for _ in range(5)] == first == rows["train"][:5]
    state = stream.state_dict()
    resumed = load_dataset(str(atac_folder), "windows", split="train", streaming=True)
    resumed.load_state_dict(state)
    assert list(resumed) == rows["train"][5:]


def test_a_set_of_an_earlier_version_is_opened_with_a_warning(atac_folder, atac, tmp_path):
    regions = load_dataset(str(atac_folder), "regions", split="train", cache_dir=str(tmp_path))
    with pytest.warns(UserWarning, match="does not say what regions a peak touches: these count as closed until"):
        store = RegionStore.from_dataset(regions.remove_columns("touching"))
    np.testing.assert_array_equal(store.is_closed, ~atac.regions.is_open)
