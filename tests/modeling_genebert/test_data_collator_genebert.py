from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from modeling_genebert import (
    GeneBertDataCollatorForMaskedLM,
    GeneBertDataCollatorForPreTraining,
    GeneBertFeatureExtractor,
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertTokenizer,
    MotifBank,
    encode_dna,
)
from modeling_genebert.masking_genebert import RANDOM, SHOWN, kmer_ids
from modeling_genebert.region_values_genebert import expand_region_values

from .conftest import make_model


CLS, SEP = 2, 3


@pytest.fixture
def extractor():
    counts = [np.array([[9, 1, 0, 0], [0, 9, 0, 1], [1, 0, 9, 0]]), np.array([[0, 1, 0, 9], [0, 1, 0, 9]])]
    bank = MotifBank(["MX1.1", "MX2.1"], ["ONE", "TWO"], ["f1", "f2"], counts)
    return GeneBertFeatureExtractor(bank, num_regions=4, region_width=10)


def example(segment_a, segment_b=None, *, seed=(0, 0), srm_label=1, ngsp_label=-100, tiled=None, **columns):
    found = {
        "segment_a": encode_dna(segment_a),
        "segment_b": None if segment_b is None else encode_dna(segment_b),
        "tiled_segment": None if tiled is None else encode_dna(tiled),
        "ngsp_label": ngsp_label,
        "srm_label": srm_label,
        "seed": seed,
    }
    if tiled is None:
        found |= {
            "scores": np.array([[0.5, 0.25], [1, 0], [0, 0], [0.75, 0.125]], dtype=np.float16),
            "accessibility": np.array([np.nan, 0.5, 0, 1], dtype=np.float32),
            "distances": np.array([-999, 0, 12345, 999_999]),
            "region_mask": np.array([True, True, False, True]),
        }
    return found | columns


def random_dna(rng, length):
    return "".join(rng.choice(list("ACGT"), size=length))


def test_layout_of_a_batch(extractor):
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3, mask_probability=0.0)
    batch = collator(
        [
            example("ATCGAT", "CGATCG", ngsp_label=1, srm_label=0),
            example("GATNAT"),
            example("ATCGAT", tiled="ATCGAT", srm_label=-100),
        ]
    )
    atc, tcg, cga, gat = kmer_ids(encode_dna("ATCGAT"), 3)
    assert (atc, tcg, cga, gat) == (11, 32, 49, 54)
    expected = {
        "input_ids": [
            [CLS, atc, tcg, cga, gat, SEP, cga, gat, atc, tcg, SEP],
            [CLS, gat, 1, 1, 1, SEP, 0, 0, 0, 0, 0],
            [CLS, atc, tcg, cga, gat, SEP, 0, 0, 0, 0, 0],
        ],
        "attention_mask": [[1] * 11, [1] * 6 + [0] * 5, [1] * 6 + [0] * 5],
        "token_type_ids": [[0] * 6 + [1] * 5, [0] * 11, [0] * 11],
        "labels": [[-100] * 11] * 3,
        "ngsp_labels": [1, -100, -100],
        "srm_labels": [0, 1, -100],
        "sequence_rows": [0, 1, 2],
        "region_context_ids": [0, 1],  # the first two have one and the same matrix
        "region_mask": [[1, 1, 0, 1], [1, 1, 1, 1]],
        "region_rows": [0, 0, 1],
    }
    for name, values in expected.items():
        assert batch[name].tolist() == values, name
        assert batch[name].dtype == torch.int64
    assert batch["hidden_bases"].shape == (3, 2, 6) and (batch["hidden_bases"] == -100).all()
    assert set(batch) == {*expected, "hidden_bases", "region_values"}
    assert batch["region_values"].shape == (2, 2 + 3, 4) and batch["region_values"].dtype == torch.float16


def test_ids_are_those_of_the_tokenizer(extractor):
    rng = np.random.default_rng(0)
    for kmer, stride in [(3, 1), (6, 1), (4, 4)]:
        collator = GeneBertDataCollatorForPreTraining(extractor, kmer=kmer, stride=stride, mask_probability=0.0)
        pairs = [(random_dna(rng, 24), random_dna(rng, 24)) for _ in range(3)]
        batch = collator([example(*pair) for pair in pairs])
        tokens = GeneBertTokenizer(kmer=kmer, stride=stride)(*map(list, zip(*pairs, strict=True)), return_tensors="pt")
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            assert torch.equal(batch[name], tokens[name])


def test_without_any_segment_b_there_is_no_room_for_it(extractor):
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3, mask_probability=0.0)
    batch = collator([example("ATCGAT"), example("CGATCG")])
    assert batch["input_ids"].tolist() == [[CLS, 11, 32, 49, 54, SEP], [CLS, 49, 54, 11, 32, SEP]]
    assert (batch["attention_mask"] == 1).all() and (batch["token_type_ids"] == 0).all()


def test_bases_past_the_last_full_kmer_are_left_out(extractor):
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3, stride=3, mask_probability=0.0)
    batch = collator([example("ATCGATCG", "CGATCGAT")])
    assert batch["input_ids"].tolist() == [[CLS, 11, 54, SEP, 49, 32, SEP]]
    assert batch["hidden_bases"].shape == (1, 2, 6)


@pytest.mark.parametrize(("kmer", "stride"), [(3, 1), (6, 1), (4, 2), (3, 3)])
def test_labels_are_the_true_ids_of_what_is_masked(extractor, kmer, stride):
    rng = np.random.default_rng(0)
    length = kmer + 40 * stride
    pairs = [(random_dna(rng, length), random_dna(rng, length) if row % 3 else None) for row in range(12)]
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=kmer, stride=stride, mask_probability=0.3)
    examples = [example(*pair, seed=(3, row)) for row, pair in enumerate(pairs)]
    batch = {name: value.numpy() for name, value in collator(examples).items()}
    true = GeneBertDataCollatorForPreTraining(extractor, kmer=kmer, stride=stride, mask_probability=0.0)(examples)
    true_ids = true["input_ids"].numpy()
    labelled = batch["labels"] != -100
    assert labelled.mean() > 0.2
    np.testing.assert_array_equal(batch["labels"][labelled], true_ids[labelled])
    np.testing.assert_array_equal(batch["input_ids"][~labelled], true_ids[~labelled])
    assert (batch["input_ids"][labelled] == 4).mean() > 0.6
    assert not np.isin(true_ids[labelled], range(5)).any()
    # A hidden base has its true code, lies under [MASK]s only, and never in an absent segment.
    assert (batch["hidden_bases"] != -100).any()
    for row, segment, base in np.argwhere(batch["hidden_bases"] != -100):
        assert batch["hidden_bases"][row, segment, base] == encode_dna(pairs[row][segment])[base]
        first_token = 1 if segment == 0 else 43
        tokens = [first_token + k for k in range(41) if k * stride <= base < k * stride + kmer]
        assert (batch["input_ids"][row, tokens] == 4).all()


def test_columns_of_a_window(extractor):
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3)
    compact = collator([example("ATCGAT")])["region_values"]
    expected = [
        [0.5, 1, 0, 0.75],  # the motifs; column 2 is absent
        [0.25, 0, 0, 0.125],
        [0, 0.5, 0, 1],  # accessibility, NaN = not measured
        [0, 1, 0, 1],
        [-0.5, 0, 0, 1],  # log10(1 + bp) / 6
    ]
    np.testing.assert_array_equal(compact[0], expected)
    values = expand_region_values(compact, 32)
    assert values.shape == (1, 4, 32, 4)
    np.testing.assert_array_equal(values[0, 0, :2], expected[:2])
    for channel in (1, 2, 3):
        np.testing.assert_array_equal(values[0, channel, :2], [expected[channel + 1]] * 2)
    assert (values[:, :, 2:] == 0).all()


def test_without_regions_all_else_stays(extractor):
    examples = [example("ATCGAT", "CGATCG", ngsp_label=1), example("GATGAT", tiled="GATGAT", seed=(0, 1))]
    whole = GeneBertDataCollatorForPreTraining(extractor, kmer=3)(examples)
    batch = GeneBertDataCollatorForPreTraining(extractor, kmer=3, with_regions=False)(examples)
    assert set(whole) - set(batch) == {"region_values", "region_mask", "region_context_ids", "region_rows"}
    for name, value in batch.items():
        assert torch.equal(value, whole[name]), name


def test_scores_of_another_motif_bank_are_refused(extractor):
    scores = np.zeros((4, 3), dtype=np.float16)
    with pytest.raises(ValueError, match="scores of 3 motifs, the feature extractor's motif bank has 2"):
        GeneBertDataCollatorForPreTraining(extractor, kmer=3)([example("ATCGAT", scores=scores)])


def test_hidden_columns_leave_no_trace(extractor):
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3)
    mask = np.array([True, False, False, True])
    first = collator([example("ATCGAT", region_mask=mask)])
    changed = np.array([[0.5, 0.25], [0.1, 0.9], [1, 1], [0.75, 0.125]], dtype=np.float16)
    second = collator([example("ATCGAT", region_mask=mask, scores=changed, distances=np.array([-999, 7, 8, 999_999]))])
    assert first["region_mask"].tolist() == [[1, 0, 0, 1]]
    assert (first["region_values"][..., 1:3] == 0).all()
    assert torch.equal(first["region_values"], second["region_values"])


def test_the_same_seeds_give_the_same_batch(extractor):
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3, mask_probability=0.5)
    rng = np.random.default_rng(0)
    pairs = [(random_dna(rng, 30), random_dna(rng, 30)) for _ in range(4)]

    def batch(seed):
        np.random.seed(seed)  # what the process drew before plays no part
        return collator([example(*pair, seed=(1, row)) for row, pair in enumerate(pairs)])

    first, second = batch(0), batch(99)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = collator([example(*pair, seed=(2, row)) for row, pair in enumerate(pairs)])
    assert not torch.equal(first["labels"], other["labels"])


SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from tests.modeling_genebert.test_data_collator_genebert import random_batch
print(random_batch())
"""


def random_batch():
    """Checksums of a batch of random examples, by name."""
    rng = np.random.default_rng(0)
    counts = [rng.integers(1, 9, size=(5, 4)).astype(np.float32) for _ in range(2)]
    bank = MotifBank(["M1", "M2"], ["A", "B"], ["f"] * 2, counts)
    collator = GeneBertDataCollatorForPreTraining(GeneBertFeatureExtractor(bank, num_regions=4), mask_probability=0.4)
    pairs = [(random_dna(rng, 40), random_dna(rng, 40)) for _ in range(4)]
    examples = [example(*pair, seed=(1, row)) for row, pair in enumerate(pairs)]
    examples += [example(pairs[0][0], tiled=pairs[1][0], srm_label=0, seed=(1, 9))]
    return {name: round(float((value.double() ** 2).sum()), 6) for name, value in collator_sums(collator, examples)}


def collator_sums(collator, examples):
    weights = 1 + torch.arange(10_000) % 97
    for name, value in collator(examples).items():
        yield name, value.flatten() * weights[: value.numel()]


def test_the_same_batch_in_another_process(tmp_path):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, root],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "17"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1] == str(random_batch())


def visible_dna(batch, row, dna):
    """Segment A as the model sees it, from the [MASK]s: hidden bases as N."""
    hidden = batch["hidden_bases"][row, 0].numpy() != -100
    return "".join("N" if is_hidden else base for base, is_hidden in zip(dna, hidden, strict=True))


def all_masked(monkeypatch):
    """Draws of spans become [MASK] only, so that what is seen follows from `hidden_bases`."""
    from modeling_genebert import masking_genebert

    draw = masking_genebert.draw_spans
    monkeypatch.setattr(
        masking_genebert, "draw_spans", lambda *args, **kwargs: (draw(*args, **kwargs) != SHOWN).astype(np.uint8)
    )


def test_tiles_are_scored_as_the_model_sees_the_sequence(extractor, monkeypatch):
    all_masked(monkeypatch)
    rng = np.random.default_rng(0)
    dna = [random_dna(rng, 40) for _ in range(4)]
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3, mask_probability=0.3)
    batch = collator([example(segment, tiled=segment, seed=(0, row)) for row, segment in enumerate(dna)])
    seen = [visible_dna(batch, row, segment) for row, segment in enumerate(dna)]
    assert "N" in "".join(seen)
    own = extractor(sequences=seen, return_tensors="pt")
    assert torch.equal(expand_region_values(batch["region_values"], 32), own["region_values"].half())
    assert torch.equal(batch["region_mask"], own["region_mask"])
    assert batch["region_context_ids"].tolist() == own["region_context_ids"].tolist() == [1] * 4
    clear = extractor(sequences=dna, return_tensors="pt")
    assert not torch.equal(expand_region_values(batch["region_values"], 32), clear["region_values"].half())


def test_tiles_of_another_segment_are_masked_alike(extractor, monkeypatch):
    all_masked(monkeypatch)
    rng = np.random.default_rng(0)
    dna, other = random_dna(rng, 40), random_dna(rng, 40)
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3, mask_probability=0.3)
    batch = collator([example(dna, tiled=other, srm_label=0)])
    hidden = batch["hidden_bases"][0, 0].numpy() != -100
    assert hidden.any()
    masked = "".join("N" if is_hidden else base for base, is_hidden in zip(other, hidden, strict=True))
    expected = extractor(sequences=[masked], return_tensors="pt")["region_values"]
    assert torch.equal(expand_region_values(batch["region_values"], 32), expected.half())


def test_random_bases_stand_in_the_tiles_of_a_negative_too(extractor, monkeypatch):
    from modeling_genebert import masking_genebert

    scored = []
    tile_columns = extractor.tile_columns
    monkeypatch.setattr(extractor, "tile_columns", lambda codes: scored.append(codes[0]) or tile_columns(codes))
    monkeypatch.setattr(
        masking_genebert, "draw_spans", lambda length, *_, **__: np.full((2, length), RANDOM, np.uint8)
    )
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3)
    rng = np.random.default_rng(0)
    dna, other = random_dna(rng, 200), random_dna(rng, 200)
    collator([example(dna, tiled=dna, seed=(5, 5))])
    collator([example(dna, tiled=other, srm_label=0, seed=(5, 5))])
    positive, negative = scored
    changed = positive != encode_dna(dna)
    assert changed.mean() == pytest.approx(0.75, abs=0.1)
    np.testing.assert_array_equal(negative, np.where(changed, positive, encode_dna(other)))


def test_windows_and_tiles_in_one_batch(extractor):
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3, mask_probability=0.0)
    rng = np.random.default_rng(0)
    dna = [random_dna(rng, 40) for _ in range(4)]
    mixed = [example(dna[0]), example(dna[1], tiled=dna[1]), example(dna[2]), example(dna[3], tiled=dna[3])]
    batch = collator(mixed)
    assert batch["region_context_ids"][batch["region_rows"]].tolist() == [0, 1, 0, 1]
    for row, one in zip(batch["region_rows"], mixed, strict=True):
        assert torch.equal(batch["region_values"][row], collator([one])["region_values"][0])


def test_what_examples_share_is_there_once(extractor):
    """The four examples of two windows; and one more with the first sequence, masked anew, and the second matrix."""
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3)
    rng = np.random.default_rng(0)
    p, q = random_dna(rng, 40), random_dna(rng, 40)
    own, other = {}, {"region_mask": np.array([True, False, False, True])}
    batch = collator(
        [
            example(p, seed=(0, 0), srm_label=1, **own),
            example(p, seed=(0, 0), srm_label=0, **other),
            example(q, seed=(0, 1), srm_label=1, **other),
            example(q, seed=(0, 1), srm_label=0, **own),
            example(p, seed=(1, 0), srm_label=0, **other),
        ]
    )
    assert batch["sequence_rows"].tolist() == [0, 0, 1, 1, 2]
    assert batch["region_rows"].tolist() == [0, 1, 1, 0, 1]
    assert batch["srm_labels"].tolist() == [1, 0, 1, 0, 0]
    assert batch["region_mask"].tolist() == [[1, 1, 0, 1], [1, 0, 0, 1]]
    assert len(batch["region_values"]) == 2
    assert len(batch["input_ids"]) == len(batch["labels"]) == len(batch["hidden_bases"]) == 3
    assert not torch.equal(batch["labels"][0], batch["labels"][2])


def test_a_segment_b_makes_another_sequence(extractor):
    collator = GeneBertDataCollatorForPreTraining(extractor, kmer=3)
    batch = collator([example("ATCGAT", "CGATCG"), example("ATCGAT", "GATTAC"), example("ATCGAT")])
    assert batch["sequence_rows"].tolist() == [0, 1, 2]
    assert batch["region_rows"].tolist() == [0, 0, 0]


def test_the_model_takes_a_batch(bank):
    collator = GeneBertDataCollatorForPreTraining(GeneBertFeatureExtractor(bank, num_regions=8), kmer=3)
    rng = np.random.default_rng(0)
    columns = {
        "scores": rng.random((8, 20)).astype(np.float16),
        "accessibility": rng.random(8).astype(np.float32),
        "distances": np.arange(8) * 1000 - 3000,
        "region_mask": np.arange(8) > 0,
    }
    segments = [random_dna(rng, 18) for _ in range(6)]
    batch = collator(
        [
            example(segments[0], segments[1], ngsp_label=1, **columns),
            example(segments[2], **columns),
            example(segments[3], tiled=segments[4], srm_label=0, seed=(0, 2)),
        ]
    )
    del batch["hidden_bases"]
    model = make_model(GeneBertForPreTraining)
    output = model(**batch)
    whole = {**batch, "region_values": expand_region_values(batch["region_values"], 32)}
    assert output.loss.isfinite()
    # The compact matrix is projected without being laid out: the same sums in another order.
    torch.testing.assert_close(output.loss, model(**whole).loss)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(**batch).loss, model(**whole).loss, atol=0, rtol=2e-3)
    assert len(output.prediction_logits) == (batch["labels"] != -100).sum() > 0


def test_masked_lm_without_masks_is_the_tokenizer():
    dna = ["ATCGATTACAT", "ATN", "at", "GATTACAGATTACA"]
    for kmer, stride in [(3, 1), (6, 1), (4, 2), (3, 3)]:
        tokenizer = GeneBertTokenizer(kmer=kmer, stride=stride)
        collator = GeneBertDataCollatorForMaskedLM(tokenizer, mlm_probability=0.0, pad_to_multiple_of=8)
        batch = collator([{"sequence": sequence} for sequence in dna])
        tokens = tokenizer(dna, return_tensors="pt", padding=True, pad_to_multiple_of=8)
        assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "labels"}
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            assert torch.equal(batch[name], tokens[name])
        assert (batch["labels"] == -100).all()


def test_masked_lm_hides_bases_from_all_kmers():
    rng = np.random.default_rng(0)
    dna = [random_dna(rng, length) for length in (200, 150, 80) * 200]
    tokenizer = GeneBertTokenizer(kmer=6)
    true = tokenizer(dna, return_tensors="pt", padding=True)["input_ids"]
    torch.manual_seed(0)
    collator = GeneBertDataCollatorForMaskedLM(tokenizer)
    batch, other = (collator([{"sequence": sequence} for sequence in dna]) for _ in range(2))
    labelled = batch["labels"] != -100
    assert torch.equal(batch["labels"][labelled], true[labelled])
    assert torch.equal(batch["input_ids"][~labelled], true[~labelled])
    assert (true[labelled] > 4).all()
    # Not labelled: six shown bases in a row, of which the first is with 0.85, each next one with 1 - 0.15 / 0.85 / 4.
    share = float(labelled.sum() / (true > 4).sum())
    assert share == pytest.approx(1 - 0.85 * (1 - 0.15 / 0.85 / 4) ** 5, abs=0.015)
    # Runs of [MASK] are spans and the 5 k-mers before: never shorter than 6, but at the ends of a sequence.
    masks = (batch["input_ids"][:, 6:70] == 4).numpy()
    for row in masks:
        inner = "".join("01"[int(is_mask)] for is_mask in row).strip("1")
        assert all(len(run) >= 6 for run in inner.split("0") if run)
    assert not torch.equal(batch["labels"], other["labels"])
    torch.manual_seed(0)
    again = collator([{"sequence": sequence} for sequence in dna])
    assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_masked_lm_refuses_what_it_cannot_mask():
    collator = GeneBertDataCollatorForMaskedLM(GeneBertTokenizer(kmer=3))
    with pytest.raises(ValueError, match=r"Example 1 .*'sequence', found the keys \['text'\].*remove_unused_columns"):
        collator([{"sequence": "ACGTACGT"}, {"text": "ACGT"}])
    vocab = GeneBertTokenizer(kmer=3).get_vocab()
    vocab["AAA"], vocab["AAT"] = vocab["AAT"], vocab["AAA"]
    with pytest.raises(ValueError, match=r"use GeneBertTokenizer\(kmer=3\)"):
        GeneBertDataCollatorForMaskedLM(GeneBertTokenizer(kmer=3, vocab=vocab))


def test_trainer_takes_raw_dna(tmp_path):
    rng = np.random.default_rng(0)
    model = make_model(GeneBertForMaskedLM)
    before = model.predictions.dense.weight.detach().clone()
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        remove_unused_columns=False,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=[{"sequence": random_dna(rng, length)} for length in (20, 30, 25, 38) * 4],
        data_collator=GeneBertDataCollatorForMaskedLM(GeneBertTokenizer(kmer=3)),
    )
    assert np.isfinite(trainer.train().training_loss)
    assert not torch.equal(model.predictions.dense.weight, before)
