from __future__ import annotations

import json
import subprocess

import pytest

from ..running import ROOT, quick_python


def test_figures_of_a_small_run(atlas_folder, tmp_path):
    options = ["--motifs", str(atlas_folder / "motifs.safetensors"), "--num_regions", "300", "--num_examples", "40"]
    options += ["--batch_sizes", "8", "40", "--num_workers", "0", "2", "--repeats", "1", "--output_dir", str(tmp_path)]
    command = [*quick_python(), "-m", "benchmarks.reader", *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report == json.loads((tmp_path / "reader.json").read_text())
    assert report["name"] == "reader" and report["settings"]["num_motifs"] == 32
    figures = report["figures"]
    assert figures["examples_per_second"] == figures["examples_per_second_40_batch_2_workers"]
    assert {f"examples_per_second_{size}_batch_0_workers_wall" for size in (8, 40)} <= figures.keys()
    assert sum(figures[f"share_of_{part}"] for part in ("rows", "sequences", "tiles", "matrix")) == pytest.approx(1)
    assert all(value > 0 for value in figures.values())
    # 32 + 3 rows of 32 float16. As int64: ids, mask, types and labels of 505 tokens, 2 * 256 hidden bases, the mask of
    # 32 regions, context type, the labels of the two pairs, and which rows the example reads: here its own.
    assert figures["bytes_per_example"] == 35 * 32 * 2 + 8 * (4 * 505 + 2 * 256 + 32 + 5)
    assert figures["bytes_per_window"] == 54
    assert figures["bytes_per_window_while_planning"] <= 160
