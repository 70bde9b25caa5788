"""Stand-in: test classes of the tasks, which older releases import; test_pipelines_genebert.py brings its own."""

import sys
from types import ModuleType


TASKS = (
    *("any_to_any", "audio_classification", "automatic_speech_recognition", "depth_estimation"),
    *("document_question_answering", "feature_extraction", "fill_mask", "image_classification"),
    *("image_feature_extraction", "image_segmentation", "image_text_to_text", "mask_generation", "object_detection"),
    *("table_question_answering", "text_classification", "text_generation", "text_to_audio", "token_classification"),
    *("video_classification", "zero_shot", "zero_shot_audio_classification", "zero_shot_image_classification"),
    "zero_shot_object_detection",
)


class _AnyClasses(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


for _task in TASKS:
    _name = f"{__name__}.test_pipelines_{_task}"
    sys.modules[_name] = _AnyClasses(_name)
