"""`--config_overrides`: fields of a new model's config, given on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from modeling_genebert import GeneBertConfig


def read_overrides(text_or_path: str | None) -> dict[str, Any]:
    """The fields in a JSON text or file; none for `None`.

    Raises:
        ValueError: not a JSON object, or a field that `GeneBertConfig` does not have.
    """
    if text_or_path is None:
        return {}
    text = Path(text_or_path).read_text(encoding="utf-8") if os.path.isfile(text_or_path) else text_or_path
    try:
        overrides = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--config_overrides {text_or_path[:60]!r}: neither a JSON file nor JSON ({error})") from None
    if not isinstance(overrides, dict):
        raise ValueError(f"--config_overrides is {text_or_path[:60]!r}, expected a JSON object of fields and values")
    unknown = [name for name in overrides if not hasattr(GeneBertConfig, name) and name != "attn_implementation"]
    if unknown:
        raise ValueError(f"--config_overrides: GeneBertConfig has no field {', '.join(unknown)}")
    return overrides


def merged(fields: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """`fields` with those of `overrides`, dictionaries in them likewise."""
    result = dict(fields)
    for name, value in overrides.items():
        is_nested = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if is_nested else value
    return result
