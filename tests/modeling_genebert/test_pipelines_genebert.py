"""transformers' pipelines on saved tiny checkpoints, with DNA as a user types it: without regions."""

from __future__ import annotations

import subprocess

import pytest
import torch
from transformers import AutoTokenizer, pipeline

from modeling_genebert import (
    GeneBertFeatureExtractor,
    GeneBertForMaskedLM,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertModel,
    GeneBertProcessor,
    GeneBertSequenceClassificationPipeline,
    GeneBertTokenClassificationPipeline,
    GeneBertTokenizer,
    average_strands,
)
from tests.running import quick_python

from .conftest import make_model


DNA = ["ATTGCCATTGCA", "ccgtanncg", "ACG"]


def save(model_class, folder, **config):
    """A tiny k=3 model and its tokenizer, which takes 40 tokens."""
    model = make_model(model_class, **config)
    model.save_pretrained(folder)
    GeneBertTokenizer(kmer=3, model_max_length=40).save_pretrained(folder)
    return model


def logits_of(model, text):
    with torch.no_grad():
        return model(**GeneBertTokenizer(kmer=3)(text, return_tensors="pt"))[0][0]


def test_auto_tokenizer_opens_the_checkpoint(tmp_path):
    save(GeneBertModel, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert type(tokenizer) is GeneBertTokenizer
    assert (tokenizer.kmer, tokenizer.model_max_length) == (3, 40)


def test_feature_extraction(tmp_path):
    model = save(GeneBertModel, tmp_path)
    features = pipeline("feature-extraction", model=str(tmp_path))(DNA, batch_size=2)
    for text, (states,) in zip(DNA, features, strict=True):
        expected = logits_of(model, text)
        torch.testing.assert_close(torch.tensor(states)[: len(expected)], expected, atol=1e-5, rtol=0)


def test_text_classification(tmp_path, bank):
    labels = {0: "other", 1: "promoter"}
    model = make_model(GeneBertForSequenceClassification, num_labels=2, id2label=labels)
    model.save_pretrained(tmp_path)
    # A folder with the whole processor: the pipeline takes its tokenizer.
    extractor = GeneBertFeatureExtractor(motif_bank=bank, num_regions=8)
    GeneBertProcessor(extractor, GeneBertTokenizer(kmer=3)).save_pretrained(tmp_path)
    results = pipeline("text-classification", model=str(tmp_path), top_k=None)(DNA, batch_size=2)
    for text, scores in zip(DNA, results, strict=True):
        expected = logits_of(model, text).softmax(-1).tolist()
        assert {score["label"]: score["score"] for score in scores} == {
            label: pytest.approx(expected[i], abs=1e-5) for i, label in labels.items()
        }
    pair = pipeline("text-classification", model=str(tmp_path))({"text": DNA[0], "text_pair": DNA[1]})
    assert set(pair) == {"label", "score"}


def test_fill_mask(tmp_path):
    model = save(GeneBertForMaskedLM, tmp_path)
    fill_mask = pipeline("fill-mask", model=str(tmp_path))
    results = fill_mask("ATTGCC[MASK]TTGCAA", top_k=2)
    # [CLS] ATT TTG TGC GCC [MASK] ...
    scores, ids = logits_of(model, "ATTGCC[MASK]TTGCAA")[5].softmax(-1).topk(2)
    assert [result["token"] for result in results] == ids.tolist()
    assert [result["score"] for result in results] == pytest.approx(scores.tolist(), abs=1e-5)
    assert [result["token_str"] for result in results] == [fill_mask.tokenizer.decode([i]) for i in ids.tolist()]
    (result,) = fill_mask("ATTGCC[MASK]TTGCAA", targets=["CAT"])
    assert result["token"] == fill_mask.tokenizer.convert_tokens_to_ids("CAT")


def test_fill_mask_of_one_hidden_base(tmp_path):
    """One hidden base is `k` masks with stride 1: the tokens of the rest are those of the whole sequence."""
    save(GeneBertForMaskedLM, tmp_path)
    fill_mask = pipeline("fill-mask", model=str(tmp_path))
    dna, hidden = "ATTGCCATTGCAA", 6
    masked = dna[:hidden] + "[MASK]" * 3 + dna[hidden + 1 :]
    ids, whole = fill_mask.tokenizer(masked)["input_ids"], fill_mask.tokenizer(dna)["input_ids"]
    assert [a == b or a == fill_mask.tokenizer.mask_token_id for a, b in zip(ids, whole, strict=True)] == [True] * 13
    results = fill_mask(masked, top_k=1, targets=["CAT"])
    assert len(results) == 3
    assert results[1][0]["sequence"] == "[CLS] ATTGCC [MASK] CAT [MASK] TTGCAA [SEP]"


# One prediction per base


@pytest.mark.parametrize("kmer", [1, 3, 6])
def test_token_classification_per_base(tmp_path, kmer):
    model = make_model(GeneBertForTokenClassification, kmer=kmer, num_labels=3)
    tokenizer = GeneBertTokenizer(kmer=kmer)
    per_base = pipeline(
        "token-classification",
        model=model,
        tokenizer=tokenizer,
        pipeline_class=GeneBertTokenClassificationPipeline,
        ignore_labels=[],
    )
    for dna, entities in zip(DNA, per_base(DNA, batch_size=2), strict=True):
        with torch.no_grad():
            logits = model(**tokenizer(dna, return_tensors="pt")).logits[0, : len(dna)]
        scores, labels = logits.softmax(-1).max(-1)
        assert [(entity["start"], entity["end"], entity["word"]) for entity in entities] == [
            (base, base + 1, dna[base]) for base in range(len(dna))
        ]
        assert [entity["entity"] for entity in entities] == [f"LABEL_{label}" for label in labels.tolist()]
        assert [entity["score"] for entity in entities] == pytest.approx(scores.tolist(), abs=1e-5)


def test_token_classification_gives_intervals():
    model = make_model(GeneBertForTokenClassification, num_labels=2, id2label={0: "O", 1: "acceptor"})
    per_base = GeneBertTokenClassificationPipeline(model=model, tokenizer=GeneBertTokenizer(kmer=3))
    scores = torch.tensor([[0.9, 0.1]] * 2 + [[0.2, 0.8], [0.4, 0.6]] + [[0.9, 0.1]])
    outputs = {
        "logits": scores.log()[None],
        "sentence": "ATTGC",
        "input_ids": torch.zeros(1, 5, dtype=torch.int64),
        "offset_mapping": torch.tensor([[[0, 0], [0, 3], [1, 4], [2, 5], [0, 0]]]),
        "special_tokens_mask": torch.tensor([[1, 0, 0, 0, 1]]),
    }
    strategy = per_base._sanitize_parameters(aggregation_strategy="simple")[2]
    (interval,) = per_base.postprocess([outputs], **strategy)
    assert interval == {"entity_group": "acceptor", "score": pytest.approx(0.7), "word": "TG", "start": 2, "end": 4}


def test_token_classification_of_a_long_sequence(tmp_path):
    """`stride` cuts what is longer than the model into pieces; every base has one prediction."""
    model = save(GeneBertForTokenClassification, tmp_path)
    per_base = pipeline(
        "token-classification", model=str(tmp_path), pipeline_class=GeneBertTokenClassificationPipeline
    )
    dna = "ATTGCCATTGCA" * 9
    with pytest.raises(ValueError, match="the sequence has 108 bp, expected at most 40 bp .* pass stride="):
        per_base(dna)
    entities = per_base(dna, stride=8, ignore_labels=[])
    assert [entity["start"] for entity in entities] == list(range(108))
    # Pieces of 38 3-mers, 40 bp, of which neighbours share 8 3-mers, 10 bp.
    with torch.no_grad():
        tokenizer = GeneBertTokenizer(kmer=3)
        pieces = [model(**tokenizer(dna[i : i + 40], return_tensors="pt")).logits[0].softmax(-1) for i in (0, 30)]
    for base, expected in ((0, pieces[0][0]), (29, pieces[0][29]), (35, (pieces[0][35] + pieces[1][5]) / 2)):
        assert entities[base]["score"] == pytest.approx(expected.max().item(), abs=1e-5)
    intervals = per_base(dna, stride=8, ignore_labels=[], aggregation_strategy="simple")
    assert "".join(interval["word"] for interval in intervals) == dna


def test_transformers_own_pipeline_is_refused(tmp_path):
    """It would take the bases for tokens."""
    model = save(GeneBertForTokenClassification, tmp_path)
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        pipeline("token-classification", model=str(tmp_path))
    model.config.save_pretrained(tmp_path / "again")  # still plain JSON


REMOTE_CODE_SCRIPT = """
import sys
sys.modules["modeling_genebert"] = None  # not even where the package is installed
from transformers import pipeline
per_base = pipeline("token-classification", model=sys.argv[1], trust_remote_code=True, ignore_labels=[])
assert type(per_base).__module__.startswith("transformers_modules."), type(per_base)
print([entity["start"] for entity in per_base("ACGTACG")])
per_base.save_pretrained(sys.argv[1] + "/again")
"""


def test_token_classification_in_a_fresh_process(tmp_path):
    folder, home = tmp_path / "checkpoint", tmp_path / "home"
    home.mkdir()
    save(GeneBertForTokenClassification, folder)
    result = subprocess.run(
        [*quick_python(), "-c", REMOTE_CODE_SCRIPT, str(folder)],
        cwd=home,
        env={"HOME": str(home), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[0, 1, 2, 3, 4, 5, 6]"


# Sequences with or without regions

REGIONS = {
    "regions": ["ATTGCAT", "GGCATTACG", "TTTACG"],
    "positions": [10, 500, 900],
    "accessibility": [0.2, None, 1.0],
}


def classifier(bank, **config):
    """A pipeline of a tiny k=3 model of sequences."""
    model = make_model(GeneBertForSequenceClassification, num_labels=2, id2label={0: "other", 1: "promoter"}, **config)
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(kmer=3))
    return GeneBertSequenceClassificationPipeline(model=model, processor=processor)


def probabilities(logits):
    """As the pipeline returns them."""
    scores = dict(zip(("other", "promoter"), logits[0].softmax(-1).tolist(), strict=True))
    best = sorted(scores, key=scores.get, reverse=True)
    return [{"label": label, "score": pytest.approx(scores[label], abs=1e-6)} for label in best]


@torch.no_grad()
def test_sequence_classification_with_and_without_regions(bank):
    classify = classifier(bank)
    processor, model = classify.processor, classify.model
    tiled = probabilities(model(**processor(DNA[:1], return_tensors="pt")).logits)
    assert classify(DNA[0]) == tiled
    inputs = processor(DNA[:1], **{name: [values] for name, values in REGIONS.items()}, return_tensors="pt")
    with_regions = probabilities(model(**inputs).logits)
    assert classify([DNA[0], {"sequence": DNA[0], **REGIONS}]) == [tiled, with_regions]
    assert tiled != with_regions
    assert classify(DNA[0], top_k=1) == tiled[:1]
    model.config.modality = "sequence"
    plain = probabilities(model(**processor(DNA[:1], tile=False, return_tensors="pt")).logits)
    assert classify({"sequence": DNA[0], **REGIONS}) == plain
    model.config.modality = "regions"
    assert classify({"sequence": DNA[0], **REGIONS}) == classify({"sequence": DNA[1], **REGIONS})
    assert classify(DNA[0]) != classify(DNA[1])  # their tiles


@torch.no_grad()
def test_sequence_classification_as_fine_tuned(bank):
    """Both strands, and windows of a sequence that is longer than the model."""
    classify = classifier(bank)
    processor, model = classify.processor, classify.model
    model.config.average_strands = True
    expected = average_strands(model, processor, DNA[:1]).logits
    assert classify(DNA[0]) == probabilities(expected)
    model.config.average_strands, dna = False, "ATTGCCATTGCA" * 9
    with pytest.raises(ValueError, match="the sequence has 108 tokens"):
        classify(dna)
    model.config.window_overlap = 10
    # Windows of 38 3-mers, 40 bp; 8 shared 3-mers are 10 shared bp.
    inputs = processor([dna], return_overflowing_tokens=True, max_length=40, stride=8, return_tensors="pt")
    assert len(inputs["input_ids"]) == 4
    assert classify(dna) == probabilities(model(**inputs).logits)


def test_sequence_classification_of_several_labels_and_of_values(bank):
    logits = {"logits": torch.tensor([0.0, 2.0])}
    classify = classifier(bank, problem_type="multi_label_classification")
    expected = [{"label": "promoter", "score": pytest.approx(0.880797)}, {"label": "other", "score": 0.5}]
    assert classify.postprocess(logits) == expected
    classify.model.config.problem_type = "regression"
    assert classify.postprocess(logits, top_k=1) == [{"label": "promoter", "score": 2.0}]


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (7, "expected DNA, or a dictionary with the DNA as `sequence`, found int"),
        ({"text": "ACGT"}, "expected DNA, or a dictionary with the DNA as `sequence`, found dict"),
        ({"sequence": "ACGT", "peaks": []}, "found 'peaks' in an example, expected sequence, regions, positions"),
    ],
)
def test_sequence_classification_of_what_is_no_example(bank, example, message):
    with pytest.raises(ValueError, match=message):
        classifier(bank).preprocess(example)
