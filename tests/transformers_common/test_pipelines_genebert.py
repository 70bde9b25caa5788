"""
transformers' PipelineTesterMixin on GeneBERT's checkpoints.

The mixin loads a tiny checkpoint and its tokenizer, and hands them to a test class per task. Those classes
(`tests/pipelines` of transformers) are not in its source distribution, so they are written here; the checkpoints are
made here too. A pipeline gives the model a sequence and no regions.
"""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from transformers import Pipeline, PreTrainedModel, PreTrainedTokenizerBase, pipeline

import modeling_genebert
from modeling_genebert import (
    GeneBertForMaskedLM,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertModel,
    GeneBertTokenClassificationPipeline,
    GeneBertTokenizer,
)

from ..modeling_genebert.conftest import make_model
from .skipping import skip_tests


MODELS = {
    "feature-extraction": GeneBertModel,
    "fill-mask": GeneBertForMaskedLM,
    "text-classification": GeneBertForSequenceClassification,
    "token-classification": GeneBertForTokenClassification,
}
# The mixin reads, when it is imported, where its checkpoints are and what is there.
CHECKPOINTS = tempfile.TemporaryDirectory()
Path(CHECKPOINTS.name, "reports").mkdir()
COMPONENTS = {"tokenizer_classes": ["GeneBertTokenizer"], "processor_classes": []}
Path(CHECKPOINTS.name, "reports", "tiny_model_summary.json").write_text(
    json.dumps({model_class.__name__: COMPONENTS for model_class in MODELS.values()})
)
with mock.patch.dict(os.environ, TRANSFORMERS_TINY_MODEL_PATH=CHECKPOINTS.name):
    from .transformers_tests import test_pipeline_mixin
    from .transformers_tests.test_pipeline_mixin import PipelineTesterMixin


NO_SUCH_INPUT = "GeneBERT reads DNA: no images, videos, sounds, tables or chats"
SKIPPED = {
    "test_pipeline_any_to_any*": NO_SUCH_INPUT,
    "test_pipeline_audio_classification*": NO_SUCH_INPUT,
    "test_pipeline_automatic_speech_recognition*": NO_SUCH_INPUT,
    "test_pipeline_depth_estimation*": NO_SUCH_INPUT,
    "test_pipeline_document_question_answering*": NO_SUCH_INPUT,
    "test_pipeline_image_*": NO_SUCH_INPUT,
    "test_pipeline_keypoint_matching*": NO_SUCH_INPUT,
    "test_pipeline_mask_generation*": NO_SUCH_INPUT,
    "test_pipeline_object_detection*": NO_SUCH_INPUT,
    "test_pipeline_table_question_answering*": NO_SUCH_INPUT,
    "test_pipeline_text_generation*": "GeneBERT is an encoder: it does not generate",
    "test_pipeline_text_to_audio*": NO_SUCH_INPUT,
    "test_pipeline_video_classification*": NO_SUCH_INPUT,
    "test_pipeline_zero_shot*": "asks a model for natural language inference",
}


class TaskTests:
    """What the mixin asks of a test class: a pipeline with examples, and checks of what it gives for them."""

    task: str
    pipeline_class: type[Pipeline] | None = None
    examples = ["ATTGCGACCATGTTACG", "ccgtanncguu", "AC"]

    def get_test_pipeline(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, dtype: str = "float32", **processors: Any
    ) -> tuple[Pipeline, list[str]]:
        model = model.to(getattr(torch, dtype))
        return pipeline(self.task, model, tokenizer=tokenizer, pipeline_class=self.pipeline_class), self.examples

    def run_pipeline_test(self, task_pipeline: Any, examples: list[str]) -> None:
        raise NotImplementedError


class FeatureExtractionTests(TaskTests):
    task = "feature-extraction"

    def run_pipeline_test(self, task_pipeline: Any, examples: list[str]) -> None:
        for example in examples:
            (states,) = task_pipeline(example)
            assert len(states) == 2 + task_pipeline.tokenizer.num_tokens(len(example))
            assert {len(state) for state in states} == {task_pipeline.model.config.hidden_size}


class FillMaskTests(TaskTests):
    task = "fill-mask"
    examples = ["ATTGCG[MASK]CATGTTACG", "[MASK]ccgtann"]

    def run_pipeline_test(self, task_pipeline: Any, examples: list[str]) -> None:
        for example in examples:
            results = task_pipeline(example, top_k=3)
            assert len(results) == 3
            scores = [result["score"] for result in results]
            assert sorted(scores, reverse=True) == scores
            for result in results:
                assert set(result) == {"sequence", "score", "token", "token_str"}
                assert result["token_str"] == task_pipeline.tokenizer.decode(result["token"])
            targets = task_pipeline(example, targets=["CAT", "GGG"])
            assert {target["token_str"] for target in targets} == {"CAT", "GGG"}
        assert [len(masked) for masked in task_pipeline("ATT[MASK][MASK]GCC", top_k=2)] == [2, 2]
        with pytest.raises(Exception, match="No mask_token"):
            task_pipeline("ATTGCC")


class TextClassificationTests(TaskTests):
    task = "text-classification"

    def run_pipeline_test(self, task_pipeline: Any, examples: list[str]) -> None:
        labels = set(task_pipeline.model.config.id2label.values())
        for example in examples:
            (best,) = task_pipeline(example)
            scores = task_pipeline(example, top_k=None)
            assert {score["label"] for score in scores} == labels
            assert best == scores[0]
            assert sum(score["score"] for score in scores) == pytest.approx(1, abs=1e-2)
        assert task_pipeline({"text": examples[0], "text_pair": examples[1]})["label"] in labels


class TokenClassificationTests(TaskTests):
    task = "token-classification"
    pipeline_class = GeneBertTokenClassificationPipeline

    def run_pipeline_test(self, task_pipeline: Any, examples: list[str]) -> None:
        for example in examples:
            entities = task_pipeline(example, ignore_labels=[])
            assert [entity["word"] for entity in entities] == list(example)
            for strategy in ("simple", "first", "average", "max"):
                intervals = task_pipeline(example, ignore_labels=[], aggregation_strategy=strategy)
                assert "".join(interval["word"] for interval in intervals) == example


TASK_TESTS = (FeatureExtractionTests, FillMaskTests, TextClassificationTests, TokenClassificationTests)


@skip_tests(SKIPPED)
class GeneBertPipelineTest(PipelineTesterMixin, unittest.TestCase):
    pipeline_model_mapping = MODELS

    @classmethod
    def setUpClass(cls) -> None:
        cls.addClassCleanup(CHECKPOINTS.cleanup)
        for model_class in MODELS.values():
            folder = Path(CHECKPOINTS.name, "genebert", model_class.__name__)
            make_model(model_class).save_pretrained(folder)
            GeneBertTokenizer(kmer=3, model_max_length=40).save_pretrained(folder)
        mapping = test_pipeline_mixin.pipeline_test_mapping
        by_path = isinstance(mapping["fill-mask"]["test"], str)  # older releases: by class
        ours = {tests.task: {"test": f"{__name__}.{tests.__name__}" if by_path else tests} for tests in TASK_TESTS}
        for patch in (
            mock.patch.object(test_pipeline_mixin, "transformers_module", modeling_genebert),
            mock.patch.dict(mapping, ours),
        ):
            patch.start()
            cls.addClassCleanup(patch.stop)
