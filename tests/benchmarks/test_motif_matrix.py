from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ..running import ROOT


for library in ("pyjaspar", "numba", "lightmotif", "memelite", "MOODS"):
    pytest.importorskip(library)

from benchmarks.motif_matrix import main  # noqa: E402


def test_figures_of_a_small_run(tmp_path):
    """Also compares MotifBank.score with its definition, lightmotif, torch conv1d and MOODS, before it times them."""
    options = ["--num_motifs", "12", "--num_regions", "32", "--length", "90", "--repeats", "1"]
    command = [sys.executable, "-m", "benchmarks.motif_matrix", *options, "--output_dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for peer in ("the definition", "itself without numba", "lightmotif", "torch conv1d", "the best hits of MOODS"):
        assert f"MotifBank.score and {peer}: " in result.stdout
    report = json.loads(result.stdout.splitlines()[-1])
    assert report == json.loads((tmp_path / "motif_matrix.json").read_text())
    assert report["name"] == "motif_matrix" and report["settings"]["num_motifs"] == 12
    figures = report["figures"]
    peers = (figures["lightmotif_regions_per_second"], figures["torch_conv1d_regions_per_second"])
    assert figures["ratio_to_fastest_peer"] == figures["regions_per_second"] / max(peers)
    assert 0 <= figures.pop("largest_difference_bits") < 1e-4
    assert all(value > 0 for value in figures.values())
    assert report["machine"]["torch_threads"] == 1


def test_a_number_of_regions_that_lightmotif_cannot_stripe(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--num_regions", "33", "--output_dir", str(tmp_path)])
    assert "--num_regions must be a multiple of 32, found 33" in capsys.readouterr().err
