"""The batches are what the processor makes of the same DNA, strand by strand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.finetuning import batches
from examples.finetuning.batches import ExampleDataset
from examples.finetuning.data import MULTI_LABEL, PER_BASE, SINGLE_LABEL, Context, Regions, Split
from modeling_genebert import GeneBertFeatureExtractor, GeneBertProcessor, GeneBertTokenizer, expand_region_values
from modeling_genebert.region_encoder_genebert import GeneBertScoreNorm
from tests.modeling_genebert.conftest import bank  # noqa: F401  # a fixture


DNA = ["ACGTTGCATTGACCAGTNACGTAC", "GGCAT", "TTGACTCATGCAAATTAGCGGGAAGTGACC", "acgu"]


def make_split(sequences=DNA, labels=None, **kwargs):
    labels = np.arange(len(sequences)) % 2 if labels is None else labels
    fields = {"alt_sequences": None, "ids": None, "groups": None, "context": None, **kwargs}
    return Split("train", sequences, labels=labels, **fields)


@pytest.fixture(params=[(3, 1), (3, 2), (4, 4)], ids=["k3", "k3-stride2", "k4-stride4"])
def processor(request, bank):  # noqa: F811
    kmer, stride = request.param
    return GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(kmer, stride))


def make_dataset(split, processor, cache_folder, problem_type=SINGLE_LABEL, **kwargs):
    return ExampleDataset(split, problem_type, processor, cache_folder=cache_folder, **kwargs)


def assert_same(found, expected, rows):
    """Equal inputs but for token_type_ids, which are all 0, and a compact matrix of float16 in place of the whole."""
    assert set(found) - {"labels", "opposite_strand"} == set(expected) - {"token_type_ids"}
    for name, value in expected.items():
        if name.endswith("region_values"):
            whole = expand_region_values(found[name].float(), rows)
            torch.testing.assert_close(whole, value, atol=1e-3, rtol=1e-3)
        elif name != "token_type_ids":
            assert torch.equal(found[name], value), name


def test_both_strands_are_those_of_the_processor(processor, tmp_path):
    dataset = make_dataset(make_split(), processor, tmp_path, both_strands=True)
    batch = dataset.__getitems__([2, 0, 3, 1])
    sequences = [DNA[index] for index in (2, 0, 3, 1)]
    for found, is_opposite in ((batch, False), (batch["opposite_strand"], True)):
        expected = processor(sequences, reverse_complement=is_opposite, padding=True, return_tensors="pt")
        assert_same(found, expected, processor.feature_extractor.num_motif_rows)
    assert batch["labels"].tolist() == [0, 0, 1, 1]


def test_alleles_are_those_of_the_processor(processor, tmp_path):
    alternate = ["ACGTTGCATTGACCAGTACGTAC", "GGCATA", "TTGACTCATGCATATTAGCGGGAAGTGACC", "acgg"]
    dataset = make_dataset(make_split(alt_sequences=alternate), processor, tmp_path, both_strands=True)
    batch = dataset.__getitems__(range(4))
    for found, is_opposite in ((batch, False), (batch["opposite_strand"], True)):
        options = {"reverse_complement": is_opposite, "padding": True, "return_tensors": "pt"}
        expected = processor(DNA, alt_sequences=alternate, **options)
        assert_same(found, expected, processor.feature_extractor.num_motif_rows)


def test_open_regions_are_those_of_the_processor(processor, tmp_path):
    rng = np.random.default_rng(0)
    regions = Regions(
        ["".join(rng.choice(list("ACGT"), 60)) for _ in range(6)], np.array(["chr1"] * 6), 1000 * np.arange(6)
    )
    lists, anchors = [[0, 1, 2], [3], [1, 4, 5], [2, 3]], [1, 0, 0, 1]
    accessibility = [[0.5, 1.0, None], [0.25], [None, 0.125, 1.0], [0.0, 0.75]]
    context = Context(
        first=np.array([0, 3, 4, 7, 9]),
        region_ids=np.concatenate(lists),
        accessibility=np.array([np.nan if a is None else a for row in accessibility for a in row], dtype=np.float32),
        anchor=np.array(anchors),
    )
    dataset = make_dataset(make_split(context=context), processor, tmp_path, regions=regions)
    expected = processor(
        DNA,
        regions=[[regions.sequences[index] for index in row] for row in lists],
        positions=[regions.position[row].tolist() for row in lists],
        accessibility=accessibility,
        anchor=anchors,
        padding=True,
        return_tensors="pt",
    )
    assert_same(dataset.__getitems__(range(4)), expected, processor.feature_extractor.num_motif_rows)


def test_windows_are_those_of_the_processor(bank, tmp_path):  # noqa: F811
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(3))
    dataset = make_dataset(make_split(), processor, tmp_path, max_num_tokens=10, window_overlap=4, both_strands=True)
    batch = dataset.__getitems__([1, 2, 0])
    expected = processor(  # windows of 8 tokens, 10 bp; 4 bp shared are 2 tokens and the 2 bp of the last one
        [DNA[1], DNA[2], DNA[0]],
        max_length=10,
        stride=2,
        return_overflowing_tokens=True,
        padding=True,
        return_tensors="pt",
    )
    assert_same(batch, expected, processor.feature_extractor.num_motif_rows)
    opposite = batch["opposite_strand"]
    assert opposite["overflow_to_sample_mapping"].tolist() == expected["overflow_to_sample_mapping"].tolist()
    given, length = expected["window_starts"][1:5], len(DNA[2])
    assert opposite["window_starts"][1:5].tolist() == [length - 10 - start for start in given.tolist()]


def test_norms_of_scores_are_those_of_tiles_and_of_the_best_of_a_sequences_tiles(bank, tmp_path):  # noqa: F811
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(3))
    norm = GeneBertScoreNorm(len(bank))
    make_dataset(make_split(), processor, tmp_path).fit_score_norm(norm)
    inputs = processor(DNA, padding=True, return_tensors="pt")
    scores, present = inputs["region_values"][:, 0, : len(bank)].transpose(1, 2), inputs["region_mask"].bool()
    assert not present.all()
    torch.testing.assert_close(norm.mean[1], scores[present].mean(dim=0), atol=1e-3, rtol=0)
    best = torch.stack([of_one[there].amax(dim=0) for of_one, there in zip(scores, present, strict=True)])
    torch.testing.assert_close(norm.mean[0], best.mean(dim=0), atol=1e-3, rtol=0)
    torch.testing.assert_close(norm.std[0], best.std(dim=0, correction=0).clamp(min=0.05), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("modality", "shape"), [("sequence", (4, 30)), ("regions", (4, 2)), ("both", (4, 30))])
def test_a_modality_can_be_left_out(modality, shape, bank, tmp_path):  # noqa: F811
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(3))
    batch = make_dataset(make_split(), processor, tmp_path, modality=modality).__getitems__(range(4))
    assert batch["input_ids"].shape == shape
    assert ("region_values" in batch) == (modality != "sequence")
    if modality == "regions":
        assert batch["input_ids"].tolist() == [[2, 3]] * 4


def test_labels_of_bases_turn_with_their_strand(processor, tmp_path):
    labels = [np.arange(len(sequence)) % 5 for sequence in DNA]
    dataset = make_dataset(make_split(labels=labels), processor, tmp_path, PER_BASE, augment=True)
    dataset.is_opposite = np.array([False, True, False, False])
    found = dataset.__getitems__([1, 3])["labels"]
    assert found.tolist() == [[4, 3, 2, 1, 0], [0, 1, 2, 3, -100]]


def test_strands_are_drawn_anew_for_each_epoch_from_the_seed(bank, tmp_path):  # noqa: F811
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(3))
    split = make_split(["ACGTTGCA"] * 400)
    dataset, same = (make_dataset(split, processor, tmp_path, augment=True, seed=5) for _ in range(2))
    first = dataset.is_opposite
    assert 150 < first.sum() < 250
    dataset.set_epoch(1)
    assert (dataset.is_opposite != first).any()
    same.set_epoch(1)
    assert np.array_equal(same.is_opposite, dataset.is_opposite)
    assert not make_dataset(split, processor, tmp_path).is_opposite.any()


def test_motif_scores_are_computed_once(bank, tmp_path, monkeypatch):  # noqa: F811
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(3))
    first = make_dataset(make_split(), processor, tmp_path)
    assert first.matrices[""].dtype == np.float16
    assert isinstance(first.matrices[""], np.memmap)
    monkeypatch.setattr(batches, "ROWS_AT_ONCE", None)  # so that scoring would fail
    again = make_dataset(make_split(), processor, tmp_path)
    assert np.array_equal(first.matrices[""], again.matrices[""])
    with pytest.raises(TypeError):
        make_dataset(make_split(["ACGTACGTAAA"]), processor, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]


def test_labels_that_were_not_measured_stay_so(processor, tmp_path):
    labels = np.array([[1, 0], [-100, 1], [0, 0], [1, -100]], dtype=np.float32)
    dataset = make_dataset(make_split(labels=labels), processor, tmp_path, MULTI_LABEL)
    assert dataset.__getitems__([1, 3])["labels"].tolist() == [[-100, 1], [1, -100]]


@pytest.mark.parametrize(
    ("alt_sequences", "window_overlap", "remedy"),
    [(None, None, "pass --window_overlap"), (["ACGT"] * 4, 2, "cut the alleles' windows shorter")],
)
def test_sequences_longer_than_the_model_are_refused(alt_sequences, window_overlap, remedy, bank, tmp_path):  # noqa: F811
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(3))
    split = make_split(alt_sequences=alt_sequences)
    message = "train, row 0: sequence has 24 bp, expected at most 20, .* 20 tokens .*2 such rows.*"
    with pytest.raises(ValueError, match=message + remedy):
        make_dataset(split, processor, tmp_path, max_num_tokens=20, window_overlap=window_overlap)


@pytest.mark.parametrize("overlap", [-1, 20])
def test_windows_overlap_by_less_than_their_width(overlap, bank, tmp_path):  # noqa: F811
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(3))
    with pytest.raises(ValueError, match=f"window_overlap={overlap} bp, expected 0 to less than a window of 20 bp"):
        make_dataset(make_split(), processor, tmp_path, max_num_tokens=20, window_overlap=overlap)


def test_more_regions_than_columns_are_refused(processor, tmp_path):
    context = Context(np.array([0, 5, 5, 5, 5]), np.arange(5), np.ones(5, dtype=np.float32), np.array([4, 0, 0, 0]))
    regions = Regions(["ACGT"] * 5, np.array(["chr1"] * 5), np.arange(5))
    with pytest.raises(
        ValueError, match="train, row 0: 4 regions before the anchor and 0 after it, expected at most 3"
    ):
        make_dataset(make_split(context=context), processor, tmp_path, regions=regions)
