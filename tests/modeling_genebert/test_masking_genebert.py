from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_genebert import encode_dna, masking_genebert
from modeling_genebert.masking_genebert import (
    KEPT,
    MASK_ID,
    MASKED,
    RANDOM,
    SHOWN,
    SegmentRandom,
    draw_spans,
    hidden_base_probabilities,
    kmer_ids,
    mask_segments,
)


A, T, C, G, N = range(5)
# Ids of the 3-mers of ATCGATCG: rank in product("ATCG", repeat=3), and five special tokens before them.
ATC, TCG, CGA, GAT = 11, 32, 49, 54


def seeded(num_segments, seed=0):
    return SegmentRandom(np.array([(seed, row) for row in range(num_segments)]))


def mask_by_hand(monkeypatch, sequence, action, **arguments):
    """Mask one sequence where `action` says: . shown, M masked, R random, K kept."""
    kinds = {".": SHOWN, "M": MASKED, "R": RANDOM, "K": KEPT}
    actions = np.array([[kinds[letter] for letter in action]], dtype=np.uint8)
    monkeypatch.setattr(masking_genebert, "draw_spans", lambda *args, **kwargs: actions)
    return mask_segments(encode_dna(sequence)[None], seeded(1), kmer=3, **arguments)


def test_kmer_ids():
    np.testing.assert_array_equal(kmer_ids(encode_dna("ATCGATCG"), 3), [ATC, TCG, CGA, GAT, ATC, TCG])
    np.testing.assert_array_equal(kmer_ids(encode_dna("ATCGATCG"), 3, 2), [ATC, CGA, ATC])
    np.testing.assert_array_equal(kmer_ids(encode_dna("ATCNATC"), 3), [ATC, 1, 1, 1, ATC])


def test_all_kmers_that_touch_a_masked_span_are_masked(monkeypatch):
    masked = mask_by_hand(monkeypatch, "ATCGATCG", "....M...")
    np.testing.assert_array_equal(masked.input_ids, [[ATC, TCG, 4, 4, 4, TCG]])
    np.testing.assert_array_equal(masked.labels, [[-100, -100, CGA, GAT, ATC, -100]])
    np.testing.assert_array_equal(masked.visible, [[A, T, C, G, N, T, C, G]])
    np.testing.assert_array_equal(masked.hidden_bases, [[-100] * 4 + [A] + [-100] * 3])

    masked = mask_by_hand(monkeypatch, "ATCGATCG", "MM......")
    np.testing.assert_array_equal(masked.input_ids, [[4, 4, CGA, GAT, ATC, TCG]])
    np.testing.assert_array_equal(masked.hidden_bases, [[A, T] + [-100] * 6])


def test_masked_spans_at_stride_2(monkeypatch):
    masked = mask_by_hand(monkeypatch, "ATCGATCGA", ".....M...", stride=2)
    np.testing.assert_array_equal(masked.input_ids, [[ATC, CGA, 4, CGA]])
    np.testing.assert_array_equal(masked.labels, [[-100, -100, ATC, -100]])
    masked = mask_by_hand(monkeypatch, "ATCGATCGA", "....M....", stride=2)
    np.testing.assert_array_equal(masked.input_ids, [[ATC, 4, 4, CGA]])


def test_random_and_kept_spans_are_labelled_and_not_hidden(monkeypatch):
    masked = mask_by_hand(monkeypatch, "ATCGATCG", "..K.....")
    np.testing.assert_array_equal(masked.input_ids, [[ATC, TCG, CGA, GAT, ATC, TCG]])
    np.testing.assert_array_equal(masked.labels, [[ATC, TCG, CGA, -100, -100, -100]])
    assert (masked.hidden_bases == -100).all()

    masked = mask_by_hand(monkeypatch, "ATCGATCG", "RRRRRR..")
    np.testing.assert_array_equal(masked.labels, [[ATC, TCG, CGA, GAT, ATC, TCG]])
    assert (masked.hidden_bases == -100).all()
    assert (masked.visible[0, :6] != encode_dna("ATCGAT")).any() and (masked.visible < 4).all()
    # The k-mers are those of the random bases.
    np.testing.assert_array_equal(masked.input_ids, kmer_ids(masked.visible, 3))
    np.testing.assert_array_equal(masked.visible[0, 6:], [C, G])


def test_unknown_bases_are_never_hidden_nor_labelled(monkeypatch):
    masked = mask_by_hand(monkeypatch, "ATCNATCG", "..MMM...")
    np.testing.assert_array_equal(masked.input_ids, [[4, 4, 4, 4, 4, TCG]])
    np.testing.assert_array_equal(masked.labels, [[ATC, -100, -100, -100, ATC, -100]])
    np.testing.assert_array_equal(masked.hidden_bases, [[-100, -100, C, -100, A, -100, -100, -100]])

    masked = mask_by_hand(monkeypatch, "ATCNNNCGA", "...RRM...")
    np.testing.assert_array_equal(masked.input_ids, [[ATC, 1, 1, 1, 1, 1, CGA]])
    assert (masked.labels == -100).all() and (masked.hidden_bases == -100).all()


@settings(deadline=None, max_examples=60)
@given(
    kmer=st.integers(1, 8),
    stride_share=st.floats(0, 1),
    extra_kmers=st.integers(0, 40),
    probability=st.floats(0.05, 0.6),
    unknown=st.floats(0, 0.2),
    seed=st.integers(0, 10**6),
)
def test_a_hidden_base_is_covered_by_masks_only(kmer, stride_share, extra_kmers, probability, unknown, seed):
    stride = 1 + round(stride_share * (kmer - 1))
    rng = np.random.default_rng(seed)
    codes = rng.integers(4, size=(3, kmer + extra_kmers * stride)).astype(np.uint8)
    codes[rng.random(codes.shape) < unknown] = N
    masked = mask_segments(codes, seeded(3, seed), kmer=kmer, stride=stride, probability=probability)
    assert masked.input_ids.shape == masked.labels.shape == (3, extra_kmers + 1)
    for row in range(3):
        for token in range(extra_kmers + 1):
            bases = slice(token * stride, token * stride + kmer)
            hidden = masked.hidden_bases[row, bases] != -100
            assert (masked.input_ids[row, token] == MASK_ID) == hidden.any()
            true_id = kmer_ids(codes[row, bases], kmer)[0]
            if masked.labels[row, token] != -100:
                assert masked.labels[row, token] == true_id
            elif true_id != 1:  # not labelled: seen as it is
                assert masked.input_ids[row, token] == true_id
    hidden = masked.hidden_bases != -100
    np.testing.assert_array_equal(masked.hidden_bases[hidden], codes[hidden])
    assert (codes[hidden] != N).all()
    assert (masked.visible[hidden] == N).all()
    np.testing.assert_array_equal(masked.visible[~hidden] == N, codes[~hidden] == N)


def runs(mask):
    """Lengths of the runs of True in each row, all together."""
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(int)
    starts, ends = (np.argwhere(np.diff(padded, axis=1) == step) for step in (1, -1))
    return ends[:, 1] - starts[:, 1]


def test_share_and_length_of_spans():
    inside = draw_spans(256, seeded(8000)) != SHOWN
    assert inside.mean() == pytest.approx(0.15, abs=0.003)
    # As likely at the ends as in the middle.
    assert inside[:, :8].mean() == pytest.approx(0.15, abs=0.01)
    assert inside[:, -8:].mean() == pytest.approx(0.15, abs=0.01)
    # Geometric: each base of a span is the last one with probability 1/4. The ends of a segment cut spans off.
    lengths = runs(
        inside & ~np.minimum.accumulate(inside, axis=1) & ~np.minimum.accumulate(inside[:, ::-1], axis=1)[:, ::-1]
    )
    assert lengths.mean() == pytest.approx(4.0, abs=0.1)
    for length in range(1, 9):
        assert (lengths == length).mean() == pytest.approx(0.25 * 0.75 ** (length - 1), abs=0.006)
    for probability, mean_length in [(0.3, 4), (0.15, 8), (0.05, 4), (0.4, 1), (0.8, 4)]:
        action = draw_spans(512, seeded(2000), probability=probability, mean_length=mean_length)
        assert (action != SHOWN).mean() == pytest.approx(probability, rel=0.03)


def test_spans_do_not_know_of_each_other():
    """The number of bases in spans varies between segments as in the Markov chain that the spans are."""
    inside = draw_spans(256, seeded(8000)) != SHOWN
    again = 1 - 1 / 4 - 0.15 / 0.85 / 4  # correlation of neighbouring bases
    found = np.corrcoef(inside[:, 100], inside[:, 101])[0, 1], np.corrcoef(inside[:, 100], inside[:, 104])[0, 1]
    assert found == pytest.approx((again, again**4), abs=0.04)


@pytest.mark.parametrize(("probability", "mean_length"), [(0.81, 4.0), (0.15, 0.5), (-0.1, 4.0), (0.6, 1.0)])
def test_impossible_spans_are_refused(probability, mean_length):
    with pytest.raises(ValueError, match="expected"):
        draw_spans(64, seeded(2), probability=probability, mean_length=mean_length)


def test_80_10_10_drawn_once_a_span():
    action = draw_spans(256, seeded(8000))
    inside = action != SHOWN
    shares = [(action == kind).sum() / inside.sum() for kind in (MASKED, RANDOM, KEPT)]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.006)
    # One kind from the start of a run to its end.
    together = inside[:, 1:] & inside[:, :-1]
    assert (action[:, 1:] == action[:, :-1])[together].all()


def test_nothing_is_masked_at_probability_0():
    codes = np.random.default_rng(0).integers(4, size=(5, 64)).astype(np.uint8)
    masked = mask_segments(codes, seeded(5), kmer=3, probability=0.0)
    np.testing.assert_array_equal(masked.input_ids, kmer_ids(codes, 3))
    np.testing.assert_array_equal(masked.visible, codes)
    assert (masked.labels == -100).all() and (masked.hidden_bases == -100).all()


def test_the_rng_decides_everything():
    codes = np.random.default_rng(0).integers(4, size=(5, 64)).astype(np.uint8)
    before = codes.copy()
    first, second, other = (mask_segments(codes, seeded(5, seed)) for seed in (7, 7, 8))
    for name in ("input_ids", "labels", "visible", "hidden_bases"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (first.labels != other.labels).any()
    np.testing.assert_array_equal(codes, before)


@pytest.mark.parametrize(("kmer", "stride"), [(1, 1), (3, 1), (3, 2), (3, 3), (4, 3)])
def test_hidden_base_probabilities_against_a_slow_loop(kmer, stride):
    rng = np.random.default_rng(0)
    num_tokens = 6
    num_bases = kmer + (num_tokens - 1) * stride
    labels = torch.from_numpy(np.where(rng.random((3, num_tokens)) < 0.6, 7, -100))
    logits = torch.from_numpy(rng.normal(size=(int((labels != -100).sum()), 5 + 4**kmer + 2))).float()

    expected = np.zeros((3, num_bases, 4))
    for segment in range(3):
        for base in range(num_bases):
            marginals = []
            for number, (row, token) in enumerate((labels != -100).nonzero().tolist()):
                offset = base - token * stride
                if row == segment and 0 <= offset < kmer:
                    weights = np.exp(logits[number, 5 : 5 + 4**kmer].double().numpy())
                    marginal = np.zeros(4)
                    for rank, weight in enumerate(weights / weights.sum()):
                        marginal[rank // 4 ** (kmer - 1 - offset) % 4] += weight
                    marginals.append(marginal)
            if marginals:
                expected[segment, base] = np.mean(marginals, axis=0)
    found = hidden_base_probabilities(logits, labels, num_bases, kmer=kmer, stride=stride)
    assert found.shape == (3, num_bases, 4)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_certain_predictions_give_the_true_bases(monkeypatch):
    masked = mask_by_hand(monkeypatch, "ATCGATCG", "...MM...")
    labels = torch.from_numpy(masked.labels.astype(np.int64))
    logits = torch.nn.functional.one_hot(labels[labels != -100], 69) * 50.0
    probabilities = hidden_base_probabilities(logits, labels, 8, kmer=3)
    np.testing.assert_array_equal(probabilities.argmax(dim=-1)[0, 3:5], [G, A])
    torch.testing.assert_close(probabilities[0, 3], torch.tensor([0.0, 0, 0, 1]))


def test_a_segment_draws_the_same_whatever_its_neighbours():
    seeds = np.array([[3, 0, 0], [3, 0, 1], [3, 1, 0], [4, 0, 0]])
    codes = np.random.default_rng(0).integers(4, size=(4, 256), dtype=np.uint8)
    together = mask_segments(codes, SegmentRandom(seeds))
    alone = mask_segments(codes[2:3], SegmentRandom(seeds[2:3]))
    np.testing.assert_array_equal(together.input_ids[2], alone.input_ids[0])
    np.testing.assert_array_equal(together.hidden_bases[2], alone.hidden_bases[0])
    assert len({row.tobytes() for row in together.hidden_bases}) == 4


def test_a_longer_segment_begins_with_the_same_masks():
    codes = np.random.default_rng(0).integers(4, size=(50, 256), dtype=np.uint8)
    whole, part = mask_segments(codes, seeded(50)), mask_segments(codes[:, :100], seeded(50))
    np.testing.assert_array_equal(whole.hidden_bases[:, :100], part.hidden_bases)
    np.testing.assert_array_equal(whole.visible[:, :100], part.visible)


def test_segment_random_has_the_right_distributions():
    rng = seeded(400)
    uniform, other = rng.random(250), rng.random(250)
    assert uniform.shape == (400, 250) and uniform.min() >= 0 and uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.004)
    assert uniform.var() == pytest.approx(1 / 12, abs=0.002)
    assert np.corrcoef(uniform.ravel(), other.ravel())[0, 1] == pytest.approx(0, abs=0.015)
    assert np.corrcoef(uniform[:, 1:].ravel(), uniform[:, :-1].ravel())[0, 1] == pytest.approx(0, abs=0.015)
    assert np.corrcoef(uniform[1:].ravel(), uniform[:-1].ravel())[0, 1] == pytest.approx(0, abs=0.015)
    lengths = rng.geometric(4, 250)
    assert lengths.min() == 1
    assert lengths.mean() == pytest.approx(4, abs=0.06)
    assert (lengths == 1).mean() == pytest.approx(0.25, abs=0.01)
    assert (rng.geometric(1, 3) == 1).all() and (rng.geometric(1e300, 3) == 1 + 2**31).all()
    bases = rng.bases(250)
    assert bases.shape == (400, 250) and bases.dtype == np.uint8
    assert np.bincount(bases.ravel()) == pytest.approx([25000] * 4, abs=700)
    for lag in (1, 8):
        assert np.corrcoef(bases[:, lag:].ravel(), bases[:, :-lag].ravel())[0, 1] == pytest.approx(0, abs=0.015)
