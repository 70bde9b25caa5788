"""What the model cards of all runs have in common; `MODEL_CARD.md`, written by hand, is their parent.

A card says what was trained on what, how, at what cost, and how well it does; its figures stand in its metadata too
(`model-index`), with their intervals. It travels: nothing in it names a place on this machine.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from hub_datasets.cards import markdown_table
from hub_datasets.files import sha256_of


PARENT = Path(__file__).parents[1] / "MODEL_CARD.md"
TAGS = ("biology", "genomics", "dna", "regulatory-genomics", "genebert")
CONFIDENCE = 0.95
INFO_FILES = ("build_info.json", "info.json")  # what the builders of hub_datasets leave beside their tables
# Settings that say where things are on this machine, or who runs it.
PLACES = ("output_dir", "logging_dir", "cache_dir", "hub_token", "push_to_hub_token", "local_rank")
CITATION = """\
@article{mo2021genebert,
  title = {Multi-modal Self-supervised Pre-training for Regulatory Genome Across Cell Types},
  author = {Mo, Shentong and Fu, Xi and Hong, Chenyang and Chen, Yizhen and Zheng, Yuxuan and Tang, Xiangru and
            Shen, Zhiqiang and Xing, Eric P and Lan, Yanyan},
  journal = {arXiv preprint arXiv:2110.05231},
  year = {2021}
}"""


@dataclass(kw_only=True)
class RunCard:
    """What a run has to say.

    Attributes:
        title: the heading.
        model_name: in `model-index`.
        auto_class: the Auto class that opens the checkpoint.
        pipeline_tag: the Hub's name of the task.
        tags: beside those that all have.
        warning: stands before all else; empty for none.
        summary: what the model is, as Markdown.
        data: what it was trained and evaluated on.
        base_model: the checkpoint that it started from, where there was one.
        hyper_parameters: name -> value; a value of None is left out.
        settings_file: file with all settings.
        figures: for the metadata and the table of results.
        other_figures: for the table only, such as those of opponents.
        figures_note: what the figures and intervals stand on.
        costs: what -> how much.
        pictures: alternative text -> file.
        limits: further limits, as Markdown bullets.
        repo_id: where it will be on the Hub, where that is known.
    """

    title: str
    model_name: str
    auto_class: str
    pipeline_tag: str
    tags: Sequence[str] = ()
    warning: str = ""
    summary: str
    data: DataSource
    base_model: str | None = None
    hyper_parameters: Mapping[str, Any]
    settings_file: str
    figures: Sequence[EvalResult]
    other_figures: Sequence[EvalResult] = ()
    figures_note: str
    costs: Mapping[str, Any]
    pictures: Mapping[str, str] = field(default_factory=dict)
    limits: Sequence[str] = ()
    repo_id: str | None = None

    def write(self, folder: Path) -> None:
        """Write it as the `README.md` of a folder."""
        text = f"---\n{self.metadata().to_yaml()}\n---\n\n{self.text()}"
        partial = folder / ".README.md.partial"
        ModelCard(text).save(partial)
        partial.rename(folder / "README.md")

    def metadata(self) -> ModelCardData:
        """The card's header; what is not on the Hub is not named there."""
        base_model = None if self.base_model is None else hub_id(self.base_model)
        return ModelCardData(
            library_name="transformers",
            license="apache-2.0",
            pipeline_tag=self.pipeline_tag,
            tags=[*TAGS, *self.tags, "arxiv:2110.05231"],
            datasets=[self.data.hub_id] if self.data.hub_id else None,
            base_model=base_model,
            base_model_relation="finetune" if base_model else None,
            model_name=self.model_name,
            eval_results=list(self.figures) or None,
        )

    def text(self) -> str:
        """All but the header."""
        parameters = {name: value for name, value in self.hyper_parameters.items() if value is not None}
        sections = [
            f"# {self.title}\n",
            *([f"**{self.warning}**\n"] if self.warning else []),
            f"{self.summary}\n",
            "## Load it\n",
            self.loading(),
            "## Data\n",
            self.data.text(),
            "## Training\n",
            f"From the checkpoint `{public_name(self.base_model)}`.\n"
            if self.base_model
            else "From random weights.\n",
            markdown_table(["hyper-parameter", "value"], [[name, shown(value)] for name, value in parameters.items()]),
            f"All settings: `{self.settings_file}`.\n",
            "## Hardware and cost\n",
            markdown_table(["what", "how much"], [[name, shown(value)] for name, value in self.costs.items()]),
            "## Results\n",
            f"{self.figures_note}\n",
            markdown_table(
                ["data", "figure", "value", f"{CONFIDENCE:.0%} interval", "drawn by"],
                [*map(_row, [*self.figures, *self.other_figures])],
            ),
            *(f"![{text}]({file})\n" for text, file in self.pictures.items()),
            "## Intended use\n",
            parent_section("Use"),
            "## Limits\n",
            "".join(f"- {limit}\n" for limit in self.limits) + parent_section("Limits"),
            "## Cite\n",
            f"The method; this implementation is independent of its authors:\n\n```bibtex\n{CITATION}\n```\n",
        ]
        return "\n".join(sections)

    def loading(self) -> str:
        """How the checkpoint is opened, with and without custom code."""
        name = self.repo_id or "PATH_OR_HUB_ID"
        is_own_class = self.auto_class == "AutoModelForVariantEffect"  # transformers has no such Auto class
        imports = (
            "from modeling_genebert import AutoModelForVariantEffect\nfrom transformers import AutoProcessor"
            if is_own_class
            else f"from transformers import {self.auto_class}, AutoProcessor"
        )
        inputs = '["ACGTACGTTTGCATCG"]' + (', alt_sequences=["ACGTACGATTGCATCG"]' if is_own_class else "")
        return f"""\
Where the package `genebert` is installed, importing it registers the classes, and no code is fetched:

```python
import modeling_genebert
{imports}

processor = AutoProcessor.from_pretrained("{name}")
model = {self.auto_class}.from_pretrained("{name}").eval()
outputs = model(**processor({inputs}, padding=True, return_tensors="pt"))
```

Elsewhere pass `trust_remote_code=True` to both: the code is in this repository. It needs torch and transformers only;
pin what you have read with `code_revision="COMMIT"`. Those who refuse remote code can have the sequence encoder as a
plain `BertModel` (`examples/export_bert.py`).
"""


@dataclass(kw_only=True)
class DataSource:
    """What was trained and evaluated on.

    Attributes:
        name: for people.
        hub_id: where it is on the Hub; None for local data.
        revision: commit of that data set, where it is known.
        inputs: (what, file, SHA-256) of the files that it was made from.
        options: of its builder.
        splits: (split, rows, what they are of).
        facts: further lines.
    """

    name: str
    hub_id: str | None = None
    revision: str | None = None
    inputs: Sequence[tuple[str, str, str]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    splits: Sequence[tuple[str, int, str]] = ()
    facts: Sequence[str] = ()

    @property
    def type(self) -> str:
        """As `model-index` has it: an id of the Hub, or that it is not there."""
        return self.hub_id or "local"

    def text(self) -> str:
        """A section of a card."""
        if self.hub_id:
            place = f"`{self.hub_id}` on the Hub" + (f", commit `{self.revision}`" if self.revision else "")
        else:
            place = "not on the Hub"
        options = [[name, f"`{shown(value)}`"] for name, value in self.options.items() if value is not None]
        tables = [
            (["split", "rows", "of"], [[split, f"{rows:,}", note] for split, rows, note in self.splits]),
            (["made from", "file", "SHA-256"], [[what, file, f"`{sha256}`"] for what, file, sha256 in self.inputs]),
            (["builder's option", "value"], options),
        ]
        lines = [f"- {self.name}: {place}\n", *(f"- {fact}\n" for fact in self.facts)]
        return "".join(lines) + "".join(f"\n{markdown_table(header, rows)}" for header, rows in tables if rows)


# Where data come from


def dataset_source(name_or_path: str | Path) -> DataSource:
    """Provenance of a data set, a folder or on the Hub, as far as its builder wrote it down beside the tables."""
    repo_id = hub_id(name_or_path)
    if repo_id is None:
        paths, revision = [path for name in INFO_FILES if (path := Path(name_or_path, name)).is_file()], None
    else:
        paths, revision = _download_info(repo_id)
    info = portable(json.loads(paths[0].read_text(encoding="utf-8"))) if paths else {}
    return DataSource(
        name=public_name(name_or_path),
        hub_id=repo_id,
        revision=revision,
        inputs=_inputs(info.get("inputs") or {}),
        options=info.get("options") or {},
        facts=[f"built by `hub_datasets.{info['builder']}`"] if "builder" in info else [],
    )


def files_source(files: Mapping[str, str | Path]) -> DataSource:
    """Provenance of a user's own tables: split -> file."""
    inputs = [(split, Path(file).name, sha256_of(Path(file))) for split, file in files.items()]
    return DataSource(name="tables of the user's own", inputs=inputs)


def _download_info(repo_id: str) -> tuple[list[Path], str | None]:
    """What the builder left in a Hub data set, and the commit; nothing where it was made by other means."""
    revision = None
    for name in (*INFO_FILES, "README.md"):
        try:
            path = Path(hf_hub_download(repo_id, name, repo_type="dataset"))
        except EntryNotFoundError:
            continue
        revision = path.parts[path.parts.index("snapshots") + 1]
        if name in INFO_FILES:
            return [path], revision
    return [], revision


def _inputs(inputs: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str, str]]:
    """Rows of a builder's `inputs`, whose entries are files, motif banks, or mappings of them."""
    rows: list[tuple[str, str, str]] = []
    for name, entry in inputs.items():
        if not isinstance(entry, Mapping):
            continue
        if "sha256" in entry:
            rows.append((f"{prefix}{name}", str(entry["file"]), entry["sha256"]))
        elif "fingerprint" in entry:
            rows.append((f"{prefix}{name}", f"{entry['source']} ({entry['num_motifs']})", entry["fingerprint"]))
        else:
            rows += _inputs(entry, f"{name}: ")
    return rows


# What travels


def hub_id(name_or_path: str | Path) -> str | None:
    """A name on the Hub as it is; None for what is on this machine."""
    name = str(name_or_path)
    if Path(name).exists():
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def public_name(name_or_path: str | Path) -> str:
    """A name on the Hub as it is; of a path on this machine the last part."""
    return hub_id(name_or_path) or Path(name_or_path).resolve().name


def portable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Settings that may travel, ready for JSON: of paths on this machine the last part only, and neither the folders that
    a run writes to nor tokens.
    """
    return {name: _portable(value) for name, value in settings.items() if name not in PLACES}


def _portable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return portable(value)
    if isinstance(value, (list, tuple)):
        return [_portable(entry) for entry in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, str) and os.sep in value and (value.startswith((os.sep, "~", ".")) or os.path.exists(value)):
        return Path(value).name
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


# Figures, hardware, text


def figure(
    data: DataSource,
    results: Mapping[str, Any],
    key: str,
    *,
    task_type: str,
    task_name: str,
    metric_type: str,
    metric_name: str,
    split: str,
    config: str | None = None,
    unit: str | None = None,
) -> EvalResult | None:
    """One figure of `results` for `model-index`, with its interval where `<key>_low` and `<key>_high` are there too.

    Args:
        unit: what the bootstrap draws.

    Returns:
        None where the figure is missing or undefined.
    """
    found = [results.get(name) for name in (key, f"{key}_low", f"{key}_high")]
    value, low, high = (None if number is None or math.isnan(number) else number for number in found)
    if value is None:
        return None
    interval = None
    if low is not None and high is not None:
        interval = {"confidence_level": CONFIDENCE, "low": round(low, 6), "high": round(high, 6)}
        interval |= {"bootstrap_unit": unit} if unit else {}
    return EvalResult(
        task_type=task_type,
        task_name=task_name,
        dataset_type=data.type,
        dataset_name=data.name,
        dataset_config=config,
        dataset_split=split,
        dataset_revision=data.revision,
        metric_type=metric_type,
        metric_name=metric_name,
        metric_value=round(value, 6),
        metric_args=interval,
    )


def _row(result: EvalResult) -> list[str]:
    interval = result.metric_args or {}
    span = f"{interval['low']:.3f} to {interval['high']:.3f}" if interval else ""
    data = ", ".join(filter(None, [result.dataset_split, result.dataset_config]))
    name = result.metric_name or result.metric_type
    return [data, name, f"{result.metric_value:.3f}", span, interval.get("bootstrap_unit", "")]


def describe_run(device: torch.device, num_processes: int, precision: str, seconds: float) -> dict[str, Any]:
    """Rows of the table of hardware and cost that all runs have.

    Args:
        precision: such as "fp32" or "bf16 (mixed)".
        seconds: wall time of the training.
    """
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "processor": cpu_model(),
        "accelerator": accelerator or ("none" if device.type == "cpu" else device.type),
        "processes": num_processes,
        "threads a process": torch.get_num_threads(),
        "precision": precision,
        "wall time": f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min",
        "process-hours": f"{seconds / 3600 * num_processes:.3g}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")),
    }


def cpu_model() -> str:
    """Name of the processor, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def shown(value: Any) -> str:
    """A value in a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def parent_section(title: str) -> str:
    """A section of `MODEL_CARD.md`, without its heading."""
    text = PARENT.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(title)}\n\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError(f"{PARENT}: no section {title!r}")
    return found[1].rstrip() + "\n"
