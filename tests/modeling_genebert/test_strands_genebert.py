"""Both strands: what the processor prepares, what averaging returns, and what it changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modeling_genebert import (
    GeneBertFeatureExtractor,
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertModel,
    GeneBertModelOutput,
    GeneBertProcessor,
    GeneBertTokenizer,
    MotifBank,
    average_strands,
    reverse_complement,
)

from .conftest import make_model


SEQUENCES = ["ACGGTTACATTCGGAACTGCA", "GGATTACNGT", "ttgacuca"]
OPPOSITE = ["TGCAGTTCCGAATGTAACCGT", "ACNGTAATCC", "tgagtcaa"]
REGIONS = {
    "regions": [["ACGTT", "CGTAA"], ["AACGT"], ["TTTAC"]],
    "positions": [[100, 2_000], [5], [7]],
    "anchor": [0, 0, 0],
}


def make_processor(bank, kmer=3, stride=1, num_regions=8):
    return GeneBertProcessor(
        GeneBertFeatureExtractor(bank, num_regions=num_regions), GeneBertTokenizer(kmer=kmer, stride=stride)
    )


@pytest.fixture
def processor(bank):
    return make_processor(bank)


def assert_equal(inputs, others):
    assert set(inputs) == set(others)
    for name in inputs:
        np.testing.assert_array_equal(inputs[name], others[name], err_msg=name)


# The processor


def test_the_processor_prepares_the_opposite_strand(processor):
    options = {"padding": True, "return_tensors": "np"}
    expected = processor(OPPOSITE, **options)
    assert_equal(processor(SEQUENCES, reverse_complement=True, **options), expected)
    tokens = processor.tokenizer.convert_ids_to_tokens(expected["input_ids"][1][:6])
    assert tokens == ["[CLS]", "[UNK]", "[UNK]", "[UNK]", "GTA", "TAA"]
    assert_equal(processor(SEQUENCES[0], reverse_complement=True), processor(OPPOSITE[0]))
    pairs = processor(SEQUENCES, SEQUENCES[::-1], reverse_complement=True, **options)
    assert_equal(pairs, processor(OPPOSITE, OPPOSITE[::-1], **options))


def test_windows_of_regions_have_no_strand(processor):
    options = {"padding": True, "return_tensors": "np", **REGIONS}
    opposite = processor(SEQUENCES, reverse_complement=True, **options)
    assert_equal(opposite, processor(OPPOSITE, **options))
    np.testing.assert_array_equal(opposite["region_values"], processor(SEQUENCES, **options)["region_values"])


def test_windows_of_a_sequence_are_cut_from_the_opposite_strand(processor):
    options = {"max_length": 10, "return_overflowing_tokens": True, "padding": True, "return_tensors": "np"}
    opposite = processor(SEQUENCES, reverse_complement=True, **options)
    assert len(opposite["input_ids"]) > len(SEQUENCES)
    assert_equal(opposite, processor(OPPOSITE, **options))


def test_alternate_alleles(processor):
    options = {"padding": True, "return_tensors": "pt"}
    inputs = processor(SEQUENCES, alt_sequences=OPPOSITE[::-1], reverse_complement=True, **options)
    reference, alternate = processor(OPPOSITE, **options), processor(SEQUENCES[::-1], **options)
    names = ("input_ids", "attention_mask", "region_values", "region_mask")
    assert_equal(inputs, {**reference, **{f"alt_{name}": alternate[name] for name in names}})
    assert all(isinstance(tensor, torch.Tensor) for tensor in inputs.values())

    shared = processor(SEQUENCES, alt_sequences=SEQUENCES, **REGIONS, **options)
    assert {name for name in shared if name.startswith("alt_")} == {"alt_input_ids", "alt_attention_mask"}
    plain = processor("ACGTA", alt_sequences="ACGA", tile=False)
    assert [len(plain[name][0]) for name in ("input_ids", "alt_input_ids")] == [5, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"sequences": ["ACG", "AC-G"], "reverse_complement": True},
            r"sequences, number 1 \(0-based\): position 2 .*'-'",
        ),
        (
            {"sequences": ["A"], "sequence_pairs": ["[MASK]"], "reverse_complement": True},
            r"sequence_pairs, number 0 \(0-based\): position 0 .*'\['",
        ),
        ({"sequences": ["A", None], "reverse_complement": True}, "sequences, number 1 .*found NoneType"),
        ({"alt_sequences": ["A"], **REGIONS}, "alt_sequences need sequences"),
        ({"sequences": ["A"], "sequence_pairs": ["A"], "alt_sequences": ["C"]}, "no sequence_pairs"),
        ({"sequences": ["A"], "alt_sequences": ["C", "G"]}, "alt_sequences has 2 examples, sequences has 1"),
        (
            {"sequences": ["A"], "alt_sequences": ["C"], "return_overflowing_tokens": True},
            "takes neither sequence_pairs nor alt_sequences",
        ),
    ],
)
def test_the_processor_refuses(processor, arguments, message):
    with pytest.raises(ValueError, match=message):
        processor(**arguments)


# The self-tiled matrix


def test_tiles_of_the_opposite_strand_come_in_reverse_order():
    bank = MotifBank(["MX1.1"], ["ONE"], ["family"], [np.array([[9, 0, 0, 0], [0, 9, 0, 0], [0, 9, 0, 0]])])  # ACC
    extractor = GeneBertFeatureExtractor(bank, num_regions=4)

    def scores(sequence):
        values = extractor(sequences=[sequence])["region_values"]
        np.testing.assert_array_equal(values[:, 1:], extractor(sequences=["N" * 24])["region_values"][:, 1:])
        return (values[0, 0, 0] == 1).tolist()

    inside = "NNACCN" + "NNNNNN" + "NGGTNN" + "NNNNNN"  # a site of either strand, each inside its tile
    assert scores(inside) == [True, False, True, False]
    assert scores(reverse_complement(inside)) == [False, True, False, True]
    over_an_edge = "NNNNNA" + "CCNNNN" + "NNNNNN" + "NNNNNN"  # its centre lies in tile 1
    assert scores(over_an_edge) == [False, True, False, False]
    assert scores(reverse_complement(over_an_edge)) == [False, False, True, False]


# Averaging


MODELS = {
    GeneBertModel: "pooler_output",
    GeneBertForSequenceClassification: "logits",
    GeneBertForTokenClassification: "logits",
    GeneBertForVariantEffect: "logits",
}


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("context", ["tiles", "regions", "none"])
def test_both_strands_get_the_same_prediction(processor, model_class, context):
    model = make_model(model_class, num_labels=3)
    options = {"tiles": {}, "regions": REGIONS, "none": {"tile": False}}[context]
    given, opposite = {"sequences": SEQUENCES}, {"sequences": OPPOSITE}
    if model_class is GeneBertForVariantEffect:
        given["alt_sequences"], opposite["alt_sequences"] = SEQUENCES[1:] + SEQUENCES[:1], OPPOSITE[1:] + OPPOSITE[:1]
    name = MODELS[model_class]
    averages = [average_strands(model, processor, **strand, **options) for strand in (given, opposite)]
    plain = [
        model(**processor(**strand, **options, padding=True, return_tensors="pt")) for strand in (given, opposite)
    ]
    assert type(averages[0]) is type(plain[0])
    assert not averages[0][name].requires_grad
    for row, length in enumerate(map(len, SEQUENCES)):
        rows = [output[name][row] for output in (*averages, *plain)]
        if model_class is GeneBertForTokenClassification:
            rows = [logits[:length] for logits in rows]
            rows[1], rows[3] = rows[1].flip(0), rows[3].flip(0)
        assert torch.equal(rows[0], rows[1])
        assert (rows[2] - rows[3]).abs().max() > 1e-3
        torch.testing.assert_close(rows[0], (rows[2] + rows[3]) / 2)


def test_only_what_can_be_averaged_is_returned(processor):
    output = average_strands(make_model(GeneBertModel), processor, SEQUENCES)
    assert isinstance(output, GeneBertModelOutput)
    assert list(output) == ["pooler_output", "region_pooler_output"]
    model = make_model(GeneBertForSequenceClassification)
    model.config.output_hidden_states = True
    assert list(average_strands(model, processor, SEQUENCES)) == ["logits"]
    assert average_strands(model, processor, SEQUENCES[0]).logits.shape == (1, 2)


def test_effects_of_exchanged_alleles_are_opposite(processor):
    model = make_model(GeneBertForVariantEffect, num_labels=1)
    effect = average_strands(model, processor, SEQUENCES, alt_sequences=SEQUENCES[::-1]).logits
    assert torch.equal(average_strands(model, processor, SEQUENCES[::-1], alt_sequences=SEQUENCES).logits, -effect)
    assert effect[0].abs() > 1e-3 and effect[1] == 0


@pytest.mark.parametrize("model_class", [GeneBertForSequenceClassification, GeneBertForTokenClassification])
def test_windows_and_strands_together(processor, model_class):
    model = make_model(model_class, num_labels=3)
    windows = {"max_length": 10, "return_overflowing_tokens": True, "stride": 2}
    given, opposite = (average_strands(model, processor, dna, **windows).logits for dna in (SEQUENCES, OPPOSITE))
    if model_class is GeneBertForSequenceClassification:
        assert given.shape == (3, 3)
        assert torch.equal(given, opposite)
    else:
        for logits, flipped, length in zip(given, opposite, map(len, SEQUENCES), strict=True):
            assert torch.equal(logits[:length], flipped[:length].flip(0))


class BaseReader(nn.Module):
    """In place of an encoder: the state of a token is its id, one-hot."""

    def forward(self, input_ids, *args, **kwargs):
        return GeneBertModelOutput(last_hidden_state=F.one_hot(input_ids, 32).float())


def test_positions_of_bases_line_up(bank):
    """With 1-mers the logits name the base: after averaging, the base and its complement, at its own position."""
    model = make_model(GeneBertForTokenClassification, kmer=1, num_labels=4)
    model.genebert = BaseReader()
    model.classifier.weight.data.copy_(torch.eye(32)[5:9])  # ids 5 to 8 are A, T, C, G
    model.classifier.bias.data.zero_()
    logits = average_strands(model, make_processor(bank, kmer=1), ["AACTG", "GTA"]).logits
    at, cg = [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]
    assert logits[0].tolist() == [at, at, cg, at, cg]
    assert logits[1, :3].tolist() == [cg, at, at]


@pytest.mark.parametrize(("kmer", "stride"), [(3, 1), (3, 2), (3, 3), (4, 3)])
@pytest.mark.parametrize("length", [2, 9, 10, 11, 12])
def test_a_marked_base_stays_where_it_is(bank, kmer, stride, length):
    """Every position is marked once by the one G or C; the tail of the sequence, in a token of its own, too."""
    model = make_model(GeneBertForTokenClassification, kmer=kmer, stride=stride, num_labels=1)
    processor = make_processor(bank, kmer, stride)
    rows = ["A" * position + "C" + "A" * (length - 1 - position) for position in range(length)]
    averaged = average_strands(model, processor, [*rows, "ACGT" * 5]).logits
    for row, logits in zip(rows, averaged, strict=False):
        # One at a time, without padding, and base by base.
        given, opposite = (
            model(**processor(dna, return_tensors="pt")).logits[0].tolist() for dna in (row, reverse_complement(row))
        )
        expected = [[(given[base][0] + opposite[length - 1 - base][0]) / 2] for base in range(length)]
        torch.testing.assert_close(logits[:length], torch.tensor(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model_class", [GeneBertForMaskedLM, GeneBertForPreTraining])
def test_models_that_predict_kmers_are_refused(processor, model_class):
    with pytest.raises(ValueError, match=f"cannot average the k-mers that {model_class.__name__} predicts"):
        average_strands(make_model(model_class), processor, SEQUENCES)


def test_truncation_is_refused(processor):
    with pytest.raises(ValueError, match="needs whole sequences, but truncation would leave other bases"):
        average_strands(make_model(GeneBertModel), processor, SEQUENCES, truncation=True, max_length=8)


def test_modes_are_left_as_they_were(processor):
    model = make_model(GeneBertForSequenceClassification, classifier_dropout=0.5).train()
    model.genebert.region_encoder.eval()  # a frozen part
    modes = [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    first, second = (average_strands(model, processor, SEQUENCES).logits for _ in range(2))
    assert torch.equal(first, second)  # without dropout
    with pytest.raises(ValueError):
        average_strands(model, processor, ["-"])
    assert [module.training for module in model.modules()] == modes


# What it changes


def test_what_averaging_changes(bank):
    """Train on labels that both strands share (is there more G and C than A and T), test on new sequences.

    The strands disagree before averaging, and never after; the loss on held-out sequences cannot rise.
    """
    rng = np.random.default_rng(0)

    def make_examples(number):
        codes = rng.random((number, 31)) < rng.uniform(0.4, 0.6, (number, 1))
        letters = np.where(codes, rng.choice(list("CG"), codes.shape), rng.choice(list("AT"), codes.shape))
        return ["".join(row) for row in letters], torch.tensor(codes.sum(1) > 15).long()

    processor = make_processor(bank)
    model = make_model(GeneBertForSequenceClassification, num_labels=2)
    train, labels = make_examples(192)
    inputs = processor(train, tile=False, return_tensors="pt")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(25):
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()

    test, labels = make_examples(400)
    opposite = [reverse_complement(dna) for dna in test]
    with torch.no_grad():
        plain = [model(**processor(dna, tile=False, return_tensors="pt")).logits for dna in (test, opposite)]
    averaged = [average_strands(model, processor, dna, tile=False).logits for dna in (test, opposite)]

    def disagreement(strands):
        return (strands[0].argmax(1) != strands[1].argmax(1)).float().mean().item()

    def accuracy(logits):
        return (logits.argmax(1) == labels).float().mean().item()

    def loss(logits):
        return F.cross_entropy(logits, labels).item()

    print(
        f"disagreement {disagreement(plain):.3f} -> {disagreement(averaged):.3f}, accuracy "
        f"{accuracy(plain[0]):.3f} and {accuracy(plain[1]):.3f} -> {accuracy(averaged[0]):.3f}, loss "
        f"{loss(plain[0]):.3f} and {loss(plain[1]):.3f} -> {loss(averaged[0]):.3f}"
    )
    assert disagreement(plain) > 0.03
    assert torch.equal(averaged[0], averaged[1])
    assert loss(averaged[0]) < (loss(plain[0]) + loss(plain[1])) / 2
    assert accuracy(averaged[0]) >= (accuracy(plain[0]) + accuracy(plain[1])) / 2 > 0.7
