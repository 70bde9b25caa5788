"""The Hub of these tests: the server in `server.py`, or a real one.

    GENEBERT_HUB_ENDPOINT=https://huggingface.co GENEBERT_HUB_NAMESPACE=me GENEBERT_HUB_TOKEN=hf_... pytest tests/hub

runs the same tests against a real Hub: repositories with random names are made in the namespace, and deleted at the
end. Tests that look into the server, or make it fail, are skipped there.
"""

from __future__ import annotations

import os
import pickle
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from modeling_genebert import GeneBertFeatureExtractor, GeneBertForPreTraining, GeneBertProcessor, GeneBertTokenizer
from tests.modeling_genebert.conftest import bank, make_model  # noqa: F401  # a fixture

from .clients import Client, Hub
from .server import HubServer


CARD = "---\nlibrary_name: transformers\nlicense: apache-2.0\ntags: [genebert]\n---\n\n# A run\n"


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    endpoint = os.environ.get("GENEBERT_HUB_ENDPOINT")
    if endpoint is not None:
        namespace, token = os.environ["GENEBERT_HUB_NAMESPACE"], os.environ["GENEBERT_HUB_TOKEN"]
        yield Hub(endpoint, namespace, token, server=None)
        return
    with HubServer() as server:
        yield Hub(server.endpoint, "lab", server.add_token("ada", "write"), server)


@pytest.fixture
def server(hub: Hub) -> HubServer:
    """For what only the test server can show."""
    if hub.server is None:
        pytest.skip("looks into the test server, but GENEBERT_HUB_ENDPOINT names a real Hub")
    return hub.server


@pytest.fixture(autouse=True)
def no_unknown_calls(hub: Hub) -> Iterator[None]:
    """A test fails if a client called what the server does not know."""
    yield
    if hub.server is not None:
        unknown, hub.server.unknown_calls = hub.server.unknown_calls, []
        hub.server.faults.clear()
        assert not unknown, f"calls that the test server does not know: {unknown}"


@pytest.fixture
def new_client(hub: Hub, tmp_path: Path) -> Callable[..., Client]:
    """Makes clients with an empty home: `new_client(token=None, HF_HUB_OFFLINE="1")`; the token is the Hub's own."""

    def make(token: str | None = hub.token, **variables: str) -> Client:
        return Client(hub, tmp_path / f"home-{secrets.token_hex(4)}", token, variables)

    return make


@pytest.fixture(scope="module")
def new_repository(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Makes up ids of repositories, which clients create; those on a real Hub are deleted at the end."""
    made: list[tuple[str, str]] = []

    def make(name: str, repo_type: str = "model") -> str:
        made.append((repo_type, f"{hub.namespace}/{name}-{secrets.token_hex(4)}"))
        return made[-1][1]

    yield make
    if hub.server is None:
        client = Client(hub, tmp_path_factory.mktemp("deleting"), hub.token)
        code = "import sys; from huggingface_hub import delete_repo as d; d(sys.argv[1], repo_type=sys.argv[2])"
        for repo_type, repo_id in made:
            client.start("-c", code, repo_id, repo_type, with_packages=False)  # not all of them were made


@pytest.fixture(scope="session")
def run_folder(bank, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """What a run leaves: a tiny model, its processor, a card, results; and what must not be pushed."""
    folder = tmp_path_factory.mktemp("run") / "run"
    model = make_model(GeneBertForPreTraining, motif_bank_fingerprint=bank.fingerprint)
    model.save_pretrained(folder)
    tokenizer = GeneBertTokenizer(kmer=3, model_max_length=40)
    GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), tokenizer).save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    (folder / "all_results.json").write_text('{"eval_loss": 1.0}\n')
    (folder / "learning_curves.png").write_bytes(b"\x89PNG\r\n")
    for built in ("dataset", "simulated_atlas"):
        (folder / built / "figures").mkdir(parents=True)
        for name in ("README.md", "motifs.safetensors", "build_info.json", "figures/motifs.png"):
            (folder / built / name).write_text("of the data, not of the model")
    (folder / "checkpoint-3").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "checkpoint-3")
    torch.save({"step": 3}, folder / "checkpoint-3" / "optimizer.pt")
    torch.save({"lr": 1e-3}, folder / "training_args.bin")
    (folder / "state.pkl").write_bytes(pickle.dumps({"a": 1}))
    (folder / ".all_results.json.partial").write_text("{")
    return folder
