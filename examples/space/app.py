"""A page to try a checkpoint: paste a sequence, see what the model makes of it.

    python examples/space/app.py --model_name_or_path runs/demo
    python examples/space/app.py --model_name_or_path runs/promoters my-lab/genebert-promoters --port 7861

Predictions, the TF x region matrix of the sequence, and the importance of each base from in-silico mutagenesis, as
pictures and as tables to download. It takes checkpoints of pre-training and of fine-tuning, on the CPU or a GPU. In a
Hugging Face Space (see README.md) the checkpoints come from the variable `GENEBERT_CHECKPOINT`. Of a checkpoint only
safetensors are read, and none of its code is run.
"""

from __future__ import annotations

import argparse
import html
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script, Python looks in this folder only

import gradio as gr
import pyarrow as pa

from examples.prediction.predictor import Row
from examples.prediction.records import Record
from examples.space.analysis import (
    LONGEST_EXPLAINED,
    Checkpoint,
    open_checkpoint,
    region_matrix,
    write_table,
)
from examples.space.pictures import NUM_MOTIFS, draw_logo, draw_matrix
from examples.space.sequences import check_lengths, read_sequences


PICTURE_DPI = 150
SECONDS_KEPT = 3600  # pictures and tables on the server
# The core promoter of HBB (beta globin): 42 bp upstream of its start and the first 28 transcribed; the same, shuffled.
HBB = "CAGGGCTGGGCATAAAAGTCAGGGCAGAGCCATCTATTGCTTACATTTGCTTCTGACACAACTGTGTTCA"
SHUFFLED = "GCTACTTCCACGGGACGCAGTTGCGAAGTTAAAAAATATGGAAGGTTACTGATGTATGCCCTCTTGCCTC"
STYLE = """
#status, #status .html-container {padding: 0}
#status .said {padding: 0.7em 1em; border-radius: 8px; border: 1px solid #b9d9c2}
#status .said {background: #eef6f0; color: #1c4427}
#status .said.error {background: #fdeeee; color: #8c1c1c; border-color: #eebcbc}
#status .said.note {background: #fff7e3; color: #6b4d00; border-color: #ecd9a4; margin-top: 0.5em}
.picture .icon-button-wrapper {opacity: 0}
.picture:hover .icon-button-wrapper, .picture:focus-within .icon-button-wrapper {opacity: 1}
#sequence textarea {font-family: monospace; word-break: break-all}
.caption p {font-size: 0.88em; opacity: 0.8}
.picture img {background: white}
"""


@dataclass
class Results:
    """What one press of the button found; kept for the choice of another record or label."""

    name: str
    records: list[Record]
    rows: list[Row]


@lru_cache(maxsize=2)
def _open(name: str, changed: float) -> Checkpoint:
    return open_checkpoint(name)


def opened(name: str) -> Checkpoint:
    """A checkpoint; the last two stay open, until a new run writes over them."""
    config = Path(name) / "config.json"
    return _open(name, config.stat().st_mtime if config.is_file() else 0.0)


def said(text: str, kind: str = "") -> str:
    role = "alert" if kind == "error" else "status"
    return f'<div class="said {kind}" role="{role}">{html.escape(text)}</div>'


def short(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


class Page:
    """The page, and what its buttons do."""

    def __init__(self, names: list[str]):
        with gr.Blocks(title="GeneBERT", delete_cache=(SECONDS_KEPT, SECONDS_KEPT)) as self.blocks:
            gr.Markdown(
                "# GeneBERT\nWhat a model of the regulatory genome makes of a DNA sequence: what it predicts, which "
                "transcription factors it sees where, and which bases matter."
            )
            with gr.Row():
                with gr.Column(scale=3, min_width=320):
                    self._inputs(names)
                with gr.Column(scale=8, min_width=480):
                    self._outputs()
            shown = [self.status, self.results, self.chart, self.matrix, self.logo_title, self.logo, *self.downloads]
            chosen = [self.state, self.table, self.record, self.label]
            self.button.click(
                self.predict, [self.checkpoint, self.text, self.file], [*shown, *chosen], api_visibility="private"
            )
            for choice in (self.record, self.label):
                choice.input(self.show, [self.state, self.record, self.label], shown, api_visibility="private")

    def _inputs(self, names: list[str]) -> None:
        self.checkpoint = gr.Dropdown(
            names,
            value=names[0] if names else None,
            label="Checkpoint",
            info="a folder, or the id of one on the Hub",
            allow_custom_value=True,
            elem_id="checkpoint",
        )
        self.text = gr.Textbox(
            label="DNA, or FASTA",
            lines=8,
            max_lines=16,
            placeholder=">name\nACGTTGACTCATGCAAATTAGC...",
            elem_id="sequence",
        )
        self.file = gr.File(label="or a FASTA file", file_count="single", type="filepath", height=140, elem_id="file")
        self.button = gr.Button("Predict", variant="primary", elem_id="predict")
        gr.Examples(
            [[HBB], [f">HBB promoter\n{HBB}\n>shuffled\n{SHUFFLED}"]],
            [self.text],
            example_labels=["HBB promoter", "FASTA of two sequences"],
            api_visibility="private",
        )

    def _outputs(self) -> None:
        self.state = gr.State()
        self.status = gr.HTML(said("Paste a sequence and press Predict."), padding=False, elem_id="status")
        with gr.Column(visible=False, elem_id="results") as self.results:
            gr.Markdown("## Predictions")
            self.table = gr.Dataframe(interactive=False, show_label=False, wrap=True, max_height=260, elem_id="table")
            with gr.Row():
                with gr.Column(scale=2):
                    self.record = gr.Dropdown(label="Sequence that is shown below", elem_id="record")
                    self.label = gr.Dropdown(label="Label that is explained", elem_id="label")
                with gr.Column(scale=3):
                    self.chart = gr.Label(show_label=False, show_heading=False, num_top_classes=8, elem_id="chart")
            gr.Markdown("## Transcription factors × positions")
            gr.Markdown(
                "The sequence is cut into tiles; each cell is the best binding site of a motif in a tile, on either "
                f"strand. The {NUM_MOTIFS} motifs with the strongest sites are shown, one of each family; the model "
                "gets them all.",
                elem_classes="caption",
            )
            self.matrix = self._picture("matrix")
            gr.Markdown("## Importance of each base")
            self.logo_title = gr.Markdown(elem_classes="caption")
            self.logo = self._picture("logo")
            with gr.Row():
                self.downloads = [
                    gr.DownloadButton(label, size="sm", elem_id=f"download-{name}")
                    for name, label in (
                        ("predictions", "Predictions (CSV)"),
                        ("matrix", "Matrix (CSV)"),
                        ("importance", "Importance (CSV)"),
                    )
                ]

    @staticmethod
    def _picture(name: str) -> gr.Image:
        return gr.Image(
            type="filepath",
            format="png",
            show_label=False,
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id=name,
            elem_classes="picture",
        )

    def predict(
        self,
        name: str | None,
        text: str | None,
        file: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[dict[Any, Any]]:
        """The button: all of the page's outputs, or an error."""
        try:
            records, left_out = read_sequences(text, file)
            progress(0, desc="Opening the checkpoint")
            checkpoint = opened((name or "").strip())
            check_lengths(records, checkpoint.processor.tokenizer.kmer, checkpoint.max_length)
            rows = checkpoint.predict(records, lambda share: progress(share, desc="Predicting"))
        except ValueError as error:
            yield {self.status: said(str(error), "error"), self.results: gr.Column(visible=False)}
            return
        results = Results((name or "").strip(), records, rows)
        names = [record.columns["id"] for record in records]
        label = checkpoint.default_label(rows[0])
        header = ["id", *checkpoint.columns]
        chosen = {
            self.state: results,
            self.table: gr.Dataframe([[short(row[cell]) for cell in header] for row in rows], headers=header),
            self.record: gr.Dropdown(names, value=names[0], visible=len(names) > 1),
            self.label: gr.Dropdown(checkpoint.labels, value=label, visible=len(checkpoint.labels) > 1),
        }
        for shown in self.show(results, names[0], label, progress):
            shown[self.status] += "".join(said(line, "note") for line in left_out)
            yield {**shown, **chosen}

    def show(
        self,
        results: Results,
        record_name: str,
        label: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[dict[Any, Any]]:
        """What is shown of one record.

        A generator, because gradio copies the files of what it yields: then the folder can go.
        """
        checkpoint = opened(results.name)
        number = [record.columns["id"] for record in results.records].index(record_name)
        record, row = results.records[number], results.rows[number]
        matrix = region_matrix(checkpoint.processor, record.sequence)
        chart = checkpoint.chart(row)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            tables = [
                write_table(folder / "predictions.csv", {"id": pa.string(), **checkpoint.columns}, results.rows),
                write_table(folder / f"matrix_{number + 1}.csv", matrix.columns, matrix.rows),
            ]
            draw_matrix(matrix).savefig(folder / "matrix.png", dpi=PICTURE_DPI)
            logo = None
            if len(record.sequence) <= LONGEST_EXPLAINED:
                mutagenesis = checkpoint.mutate(
                    record, label, lambda share: progress(share, desc="Mutating each base")
                )
                tables.append(
                    write_table(folder / f"importance_{number + 1}.csv", mutagenesis.columns, mutagenesis.rows)
                )
                logo = folder / "logo.png"
                draw_logo(mutagenesis).savefig(logo, dpi=PICTURE_DPI)
                title = (
                    f"Each base is changed to the three others. Its height is how much the {mutagenesis.score} falls, "
                    "on average of the three; below zero the changes raise it."
                )
            else:
                title = f"Left out: {len(record.sequence):,} bp, at most {LONGEST_EXPLAINED} bp are mutated."
            done = f"{results.name}: {len(results.records)} sequence{'s' * (len(results.records) > 1)}. "
            yield {
                self.status: said(done + checkpoint.what + "."),
                self.results: gr.Column(visible=True),
                self.chart: gr.Label(chart, visible=bool(chart)),
                self.matrix: str(folder / "matrix.png"),
                self.logo_title: title,
                self.logo: gr.Image(None if logo is None else str(logo), visible=logo is not None),
                **{
                    button: gr.DownloadButton(value=str(table), visible=True)
                    for button, table in zip(self.downloads, tables, strict=False)
                },
                **{button: gr.DownloadButton(visible=False) for button in self.downloads[len(tables) :]},
            }


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A page to try a GeneBERT checkpoint.")
    parser.add_argument(
        "--model_name_or_path",
        nargs="+",
        default=os.environ.get("GENEBERT_CHECKPOINT", "").split(),
        help="folders or Hub ids to choose from, the first is opened at once; default: GENEBERT_CHECKPOINT",
    )
    parser.add_argument("--host", help="address to listen at; default: this machine only, or GRADIO_SERVER_NAME")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on, or GRADIO_SERVER_PORT")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    if args.model_name_or_path:
        try:
            checkpoint = opened(args.model_name_or_path[0])
        except ValueError as error:
            raise SystemExit(str(error)) from None
        region_matrix(checkpoint.processor, HBB)  # numba compiles now, not while the first visitor waits
    Page(args.model_name_or_path).blocks.launch(
        server_name=args.host,
        server_port=args.port,
        theme=gr.themes.Default(primary_hue="emerald", font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css=STYLE,
        footer_links=["settings"],
        ssr_mode=False,  # which would need Node.js
    )


if __name__ == "__main__":
    main()
