"""Sequences longer than the model, cut into windows: the processor cuts, the models pool and stitch."""

import random

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from modeling_genebert import (
    GeneBertFeatureExtractor,
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertModel,
    GeneBertProcessor,
    GeneBertTokenizer,
)
from modeling_genebert.windows_genebert import cut_windows, max_of_windows, pool_windows, stitch_windows

from .conftest import make_model


WINDOWS = {"max_length": 20, "return_overflowing_tokens": True, "padding": True, "return_tensors": "pt"}


def random_dna(length, seed=0):
    return "".join(random.Random(seed).choices("ACGT", k=length))


@pytest.fixture
def processor(bank):
    return make_processor(bank)


def make_processor(bank, kmer=3, stride=1):
    extractor = GeneBertFeatureExtractor(bank, num_regions=8, region_width=10)
    return GeneBertProcessor(extractor, GeneBertTokenizer(kmer=kmer, stride=stride, model_max_length=40))


# Cutting, pooling, stitching


def test_cut_windows():
    windows, samples, starts = cut_windows(["ACGTTGCAACG", "ACGT", "ACGTT", ""], width=4, step=3)
    assert windows == ["ACGT", "TTGC", "CAAC", "AACG", "ACGT", "ACGT", "CGTT", ""]
    assert samples.tolist() == [0, 0, 0, 0, 1, 2, 2, 3]
    assert starts.tolist() == [0, 3, 6, 7, 0, 0, 1, 0]
    assert samples.dtype == starts.dtype == np.int64


def test_pool_windows():
    values = torch.tensor([[1.0, 0.0], [4.0, 2.0], [7.0, 5.0]])
    pooled = pool_windows(values, torch.tensor([0, 0, 1]), torch.tensor([20, 10, 3]))
    torch.testing.assert_close(pooled, torch.tensor([[2.0, 2 / 3], [7.0, 5.0]]))


def test_max_of_windows():
    values = torch.tensor([[1.0, -3.0], [4.0, -2.0], [-7.0, -5.0]])
    found = max_of_windows(values, torch.tensor([0, 0, 1]))
    torch.testing.assert_close(found, torch.tensor([[4.0, -2.0], [-7.0, -5.0]]), atol=0, rtol=0)


def test_stitch_windows():
    logits = torch.tensor([[1.0, 2, 3], [5, 6, 7], [8, 9, -1]])[..., None]  # -1: padding
    num_bases, samples, starts = torch.tensor([3, 3, 2]), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])
    stitched = stitch_windows(logits, num_bases, samples, starts)
    torch.testing.assert_close(stitched[..., 0], torch.tensor([[1.0, 3.5, 4.5, 7.0], [8.0, 9.0, 0.0, 0.0]]))


# The processor


@pytest.mark.parametrize(
    ("kmer", "step", "shared"), [(3, 1, 0), (3, 1, 5), (6, 1, 17), (4, 2, 3), (5, 5, 0), (6, 6, 2)]
)
def test_windows_are_pieces_of_the_whole_sequence(bank, kmer, step, shared):
    processor = make_processor(bank, kmer, step)
    sequence = random_dna(200)
    whole = processor.tokenizer(sequence)["input_ids"][1:-1]
    inputs = processor([sequence], **WINDOWS, stride=shared)
    ids, starts = inputs["input_ids"], inputs["window_starts"]
    assert ids.shape[1] == 20
    assert (inputs["attention_mask"] == 1).all()
    # Neighbours share tokens, the last window ends with the sequence.
    assert starts[:-1].tolist() == [number * (18 - shared) * step for number in range(len(starts) - 1)]
    assert 0 < starts[-1] - starts[-2] <= (18 - shared) * step
    assert starts[-1] + processor.tokenizer.num_bases(18) == 200
    for row, start in zip(ids.tolist()[:-1], starts.tolist(), strict=False):
        assert row[1:-1] == whole[start // step :][:18]
    assert ids[-1].tolist() == processor.tokenizer(sequence[starts[-1] :])["input_ids"]


def test_each_window_is_a_sequence_of_its_own(processor):
    first, second, third = sequences = [random_dna(45), "acgtn", random_dna(33, seed=1)]
    inputs = processor(sequences, **WINDOWS, stride=4)
    assert inputs["overflow_to_sample_mapping"].tolist() == [0, 0, 0, 1, 2, 2]
    assert inputs["window_starts"].tolist() == [0, 14, 25, 0, 0, 13]
    windows = [first[:20], first[14:34], first[25:], second, third[:20], third[13:]]
    expected = processor(windows, padding=True, return_tensors="pt")
    assert set(inputs) == {*expected, "overflow_to_sample_mapping", "window_starts"}
    for name, tensor in expected.items():
        assert torch.equal(inputs[name], tensor), name


def test_regions_are_repeated_for_each_window(processor):
    regions = {"regions": [["ACGTT", "CGTAA"], ["AACGT"]], "positions": [[100, 2_000], [5]]}
    inputs = processor([random_dna(50), "ACGTA"], **regions, **WINDOWS)
    matrices = processor(**regions, return_tensors="pt")
    assert inputs["overflow_to_sample_mapping"].tolist() == [0, 0, 0, 1]
    for name, tensor in matrices.items():
        assert torch.equal(inputs[name], tensor[[0, 0, 0, 1]]), name


def test_defaults_and_padding(processor):
    inputs = processor([random_dna(100)], return_overflowing_tokens=True, return_tensors="np")
    assert inputs["input_ids"].shape == (3, 40)  # the tokenizer's model_max_length; 98 k-mers, 38 a window
    assert inputs["window_starts"].tolist() == [0, 38, 60]
    inputs = processor(["ACGTA"], **{**WINDOWS, "padding": "max_length"})
    assert inputs["input_ids"].shape == (1, 20)
    for truncation in (True, False):
        again = processor([random_dna(100)], return_overflowing_tokens=True, truncation=truncation)
        assert again["window_starts"].tolist() == [0, 38, 60]
    inputs = processor([random_dna(100)], tile=False, **WINDOWS)
    assert "region_values" not in inputs


def test_windows_of_the_opposite_strand(processor):
    sequence = "AAAC" * 10
    inputs = processor([sequence], **WINDOWS, reverse_complement=True)
    assert torch.equal(inputs["input_ids"], processor(["GTTT" * 10], **WINDOWS)["input_ids"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequences": ["ACG"], "sequence_pairs": ["ACG"]}, "takes neither sequence_pairs nor alt_sequences"),
        ({"sequences": ["ACG"], "alt_sequences": ["ACT"]}, "takes neither sequence_pairs nor alt_sequences"),
        ({"regions": [["ACG"]], "positions": [[1]]}, "it needs sequences"),
        (
            {"sequences": ["ACG"], "stride": 18},
            "20 tokens hold 18 k-mers, expected more than the stride=18",
        ),
        (
            {"sequences": ["ACG"], "max_length": 2},
            "2 tokens hold 0 k-mers, expected more than the stride=0",
        ),
        ({"sequences": ["ACG", "AC[MASK]GT"]}, r"sequence 1 \(0-based\): expected plain DNA .*, found \['\[MASK\]'\]"),
        ({"sequences": ["ACG", None]}, r"sequence 1 \(0-based\): expected plain DNA .*, found NoneType"),
    ],
)
def test_processor_refuses(processor, arguments, message):
    with pytest.raises(ValueError, match=message):
        processor(**{**WINDOWS, **arguments})


def test_the_step_between_kmers_is_not_the_stride_of_a_call(bank):
    processor = make_processor(bank, kmer=3, stride=3)
    # As the stride of a call, 3 would be refused: no window can share 3 of its 3 tokens.
    assert processor(["ACGTACGTACGT"], truncation=True, max_length=5)["input_ids"] == [
        processor.tokenizer("ACGTACGTA")["input_ids"]
    ]


# The models


MODEL_CLASSES = [
    GeneBertModel,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
]


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize("stride", [1, 2])
def test_short_sequences_give_what_they_give_without_windows(bank, model_class, stride):
    model, processor = make_model(model_class, stride=stride), make_processor(bank, stride=stride)
    sequences = [random_dna(length, seed=length) for length in (19, 3, 11)]
    with torch.no_grad():
        plain = model(**processor(sequences, padding=True, return_tensors="pt"))
        windowed = model(**processor(sequences, **WINDOWS))
    assert set(plain) == set(windowed)
    for name, tensor in plain.items():
        if model_class is GeneBertForTokenClassification:  # past the end of a sequence logits have no meaning
            for row, sequence in enumerate(sequences):
                torch.testing.assert_close(windowed[name][row, : len(sequence)], tensor[row, : len(sequence)])
        else:
            torch.testing.assert_close(windowed[name], tensor)


def test_pooled_vectors_are_means_over_windows(processor):
    model = make_model(GeneBertModel)
    inputs = processor([random_dna(50), "ACGTACG"], **WINDOWS)
    assert inputs.pop("overflow_to_sample_mapping").tolist() == [0, 0, 0, 1]
    with torch.no_grad():
        rows = model(**inputs)
        pooled = model(**inputs, overflow_to_sample_mapping=torch.tensor([0, 0, 0, 1]))
        joined = model(**inputs, overflow_to_sample_mapping=torch.tensor([0, 1, 1, 1]))
    for name in ("pooler_output", "region_pooler_output"):
        expected = torch.stack([rows[name][:3].mean(dim=0), rows[name][3]])  # equal windows, so equal weights
        torch.testing.assert_close(pooled[name], expected)
        weights = torch.tensor([20.0, 20.0, 7.0])[:, None] / 47  # [CLS], [SEP] and 18 or 5 k-mers
        torch.testing.assert_close(joined[name][1], (rows[name][1:] * weights).sum(dim=0))
    assert pooled.last_hidden_state.shape == (4, 20, 32)


@pytest.mark.parametrize("model_class", [GeneBertForSequenceClassification, GeneBertForTokenClassification])
def test_results_do_not_depend_on_the_batch(processor, model_class):
    model = make_model(model_class)
    sequences = [random_dna(length, seed=length) for length in (30, 75, 4, 20)]
    with torch.no_grad():
        together = model(**processor(sequences, **WINDOWS, stride=3)).logits
        for row, sequence in enumerate(sequences):
            alone = model(**processor([sequence], **WINDOWS, stride=3)).logits[0]
            torch.testing.assert_close(together[row][: len(alone)], alone)
    assert together.shape == ((4, 2) if model_class is GeneBertForSequenceClassification else (4, 75, 2))


@pytest.mark.parametrize(("kmer", "step"), [(3, 1), (4, 2), (3, 3)])
def test_per_base_logits_are_those_of_the_whole_sequence(bank, kmer, step):
    """In a model whose tokens do not see each other windows change nothing but the k-mers cut at their edges."""
    sequence = {"hidden_size": 32, "num_hidden_layers": 0, "num_attention_heads": 2, "max_position_embeddings": 200}
    settings = {"sequence_config": sequence, "num_fusion_layers": 0, "fusion_type": "concat"}
    model = make_model(GeneBertForTokenClassification, kmer=kmer, stride=step, **settings)
    torch.nn.init.zeros_(model.genebert.sequence_encoder.embeddings.position_embeddings.weight)
    processor = make_processor(bank, kmer, step)
    num_bases = processor.tokenizer.num_bases(100 // step)
    sequence = random_dna(num_bases)
    inputs = processor([sequence], **WINDOWS, stride=4, tile=False)
    with torch.no_grad():
        whole = model(**processor([sequence], tile=False, return_tensors="pt")).logits[0]
        stitched = model(**inputs).logits[0]
    assert stitched.shape == whole.shape == (num_bases, 2)

    starts, width = inputs["window_starts"], processor.tokenizer.num_bases(18)
    base = torch.arange(num_bases)
    # k-mers that cover a base near a window's inner edge are cut there; those of the last window are out of step.
    at_edge = ((base >= starts[1:, None]) & (base < starts[1:, None] + kmer)).any(dim=0)
    at_edge |= ((base >= starts[:-1, None] + width - kmer) & (base < starts[:-1, None] + width)).any(dim=0)
    if (starts[-1] % step) != 0:
        at_edge |= base >= starts[-1]
    assert (~at_edge).sum() > num_bases / 3
    torch.testing.assert_close(stitched[~at_edge], whole[~at_edge])
    assert stitched.isfinite().all()


def test_overlapping_windows_are_averaged_per_base(processor):
    model = make_model(GeneBertForTokenClassification)
    inputs = processor([random_dna(35)], **WINDOWS)  # windows of 20 bp at 0 and 15
    assert inputs["window_starts"].tolist() == [0, 15]
    with torch.no_grad():
        stitched = model(**inputs).logits[0]
        del inputs["overflow_to_sample_mapping"]
        first, second = model(**inputs).logits
    expected = torch.cat([first[:15], (first[15:] + second[:5]) / 2, second[5:]])
    torch.testing.assert_close(stitched, expected)


@pytest.mark.parametrize("model_class", [GeneBertForSequenceClassification, GeneBertForTokenClassification])
def test_gradients_come_from_every_window(processor, model_class):
    model = make_model(model_class)
    inputs = processor([random_dna(70), random_dna(25, seed=1)], **WINDOWS)
    labels = torch.tensor([1, 0]) if model_class is GeneBertForSequenceClassification else torch.ones(2, 70).long()
    embeddings = model.get_input_embeddings()(inputs.pop("input_ids")).detach().requires_grad_()
    loss = model(inputs_embeds=embeddings, **inputs, labels=labels).loss
    loss.backward()
    assert loss.isfinite()
    assert len(embeddings) == 6
    assert (embeddings.grad.abs().sum(dim=(1, 2)) > 0).all()


def test_masked_predictions_stay_per_window(processor):
    inputs = processor([random_dna(50)], **WINDOWS)
    output = make_model(GeneBertForMaskedLM)(**inputs, labels=inputs["input_ids"])
    assert output.logits.shape == (3, 20, 69)
    assert output.loss.isfinite()


def test_trainer_trains_and_predicts_one_row_a_sample(processor, tmp_path):
    rows = [{"sequence": random_dna(10 + 17 * number, seed=number), "label": number % 2} for number in range(5)]

    def collate(examples):
        inputs = processor([example["sequence"] for example in examples], **WINDOWS, stride=2)
        return {**inputs, "labels": torch.tensor([example["label"] for example in examples])}

    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=2,
        per_device_eval_batch_size=2,
        remove_unused_columns=False,
        report_to="none",
        use_cpu=True,
    )
    model = make_model(GeneBertForSequenceClassification)
    trainer = Trainer(model, arguments, data_collator=collate, train_dataset=rows, eval_dataset=rows)
    assert np.isfinite(trainer.train().training_loss)
    prediction = trainer.predict(rows)
    assert prediction.predictions.shape == (5, 2)
    assert prediction.label_ids.tolist() == [0, 1, 0, 1, 0]
    with torch.no_grad():
        alone = [model.eval()(**processor([row["sequence"]], **WINDOWS, stride=2)).logits[0] for row in rows]
    np.testing.assert_allclose(prediction.predictions, torch.stack(alone), atol=1e-5)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ([0, 0], r"has shape \(2,\), expected one sample number for each of the 3 windows"),
        ([0, 0, 2], "holds no window of sample 1, expected all samples from 0 on"),
    ],
)
def test_model_refuses_a_mapping(processor, mapping, message):
    inputs = {**processor([random_dna(50)], **WINDOWS), "overflow_to_sample_mapping": torch.tensor(mapping)}
    with pytest.raises(ValueError, match=message):
        make_model(GeneBertModel)(**inputs)


def test_per_base_predictions_need_window_starts(processor):
    inputs = processor([random_dna(50)], **WINDOWS)
    del inputs["window_starts"]
    with pytest.raises(ValueError, match="need window_starts"):
        make_model(GeneBertForTokenClassification)(**inputs)
