"""The page is pushed as a Space that has all it needs."""

from __future__ import annotations

import os
import subprocess

import pytest

from examples.space.push import FOLDERS, lay_out
from tests.running import quick_python


PUSH_SPACE = """
import sys
from huggingface_hub import HfApi
from examples.space.push import main
repo_id = sys.argv[1]
for _ in range(2):
    main(["--repo_id", repo_id, "--private"])
found = HfApi().space_info(repo_id)
print(found.private, found.card_data.sdk)
"""

OPEN_PAGE = """
import sys
sys.path.insert(0, "examples/space")
import app, hub_datasets, modeling_genebert
import examples.prediction as prediction
for module in (app, prediction, hub_datasets, modeling_genebert):
    print(module.__file__)
assert "datasets" not in sys.modules, "not among the requirements"
"""


def test_push_the_page(hub, new_client, new_repository, tmp_path):
    repo_id = new_repository("page", "space")
    printed = new_client().run(PUSH_SPACE, repo_id, with_packages=True)
    assert f"Pushed: {hub.endpoint}/spaces/{repo_id}" in printed
    assert printed.splitlines()[-1] == "True gradio"
    if hub.server is not None:
        repository = hub.server.repositories["space", repo_id]
        assert [commit.title for commit in repository.history("main")] == ["Upload page", "initial commit"]
        assert set(repository.commit_of("main").files) == {*lay_out(tmp_path), ".gitattributes"}


def test_the_files_of_the_page(tmp_path):
    files = lay_out(tmp_path)
    assert [name for name in files if not name.endswith(".py")] == ["README.md", "requirements.txt"]
    assert "examples/space/app.py" in files
    assert not {"examples/predict.py", "examples/pretrain.py"} & set(files)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == files


def test_the_page_opens_where_nothing_else_of_ours_is(tmp_path):
    pytest.importorskip("gradio", reason="the page needs gradio")
    lay_out(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [*quick_python(), "-c", OPEN_PAGE]
    finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    folders = [os.path.dirname(line) for line in finished.stdout.split()]
    assert folders == [str(tmp_path / name) for name in FOLDERS]
