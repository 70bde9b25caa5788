"""When the network, the Hub or somebody's rights fail: tried again, or refused with a clear error."""

from __future__ import annotations

import traceback

import pytest

from examples.finetune import parse_args

from .checks import check_no_pickles
from .clients import Client
from .server import Fault


PUSH = """
import os, sys
from huggingface_hub import HfApi
from examples.push_to_hub import main
from modeling_genebert import GeneBertProcessor, MotifBank
folder, repo_id, exchanged, other_processor, read_only = sys.argv[1:]
main(["--folder", folder, "--repo_id", repo_id, "--private"])
main(["--folder", folder, "--repo_id", exchanged])
main(["--folder", folder, "--repo_id", other_processor])
bank = MotifBank.load(folder + "/motifs.safetensors")
bank = MotifBank(bank.ids[::-1], bank.names[::-1], bank.families[::-1], bank.counts[::-1])
bank.save("motifs.safetensors")
HfApi().upload_file(path_or_fileobj="motifs.safetensors", path_in_repo="motifs.safetensors", repo_id=exchanged)
processor = GeneBertProcessor.from_pretrained(folder)
processor.feature_extractor.motif_bank = bank
processor.push_to_hub(other_processor)
for token in ("hf_nobody", read_only):
    os.environ["HF_TOKEN"] = token
    for name in (repo_id, repo_id + "-new"):
        try:
            main(["--folder", folder, "--repo_id", name])
            raise AssertionError("pushed")
        except SystemExit as error:
            print(error)
"""

OPEN = """
import sys
import torch
from transformers import AutoModel, AutoProcessor
processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True).eval()
with torch.no_grad():
    print(model(**processor(["ATTGCCATTGCAACGT"], return_tensors="pt")).pooler_output.sum().item())
"""

# huggingface_hub does not try again where a large file's host is busy: that is an error, and the next call goes on.
OPEN_AT_SECOND_TRY = """
import sys
from transformers import AutoProcessor
try:
    AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
    raise SystemExit("opened at once")
except OSError as error:
    assert "503 Service Unavailable" in str(error), error
"""

REFUSED = """
import sys
from transformers import AutoModel, AutoProcessor
private, *exchanged = sys.argv[1:]
for token in (None, "hf_nobody"):
    try:
        AutoModel.from_pretrained(private, trust_remote_code=True, token=token)
        raise SystemExit("a private repository was opened")
    except OSError as error:
        print("private:", " ".join(str(error).split()))
for repo_id in exchanged:
    try:
        AutoProcessor.from_pretrained(repo_id, trust_remote_code=True)
        raise SystemExit("another motif bank was taken")
    except ValueError as error:
        print("exchanged:", error)
"""


@pytest.fixture(scope="module")
def pushed(hub, new_repository, run_folder, tmp_path_factory):
    """A private repository, two whose motif bank was exchanged, without and with the processor that belongs to it, and
    what was printed: all while the Hub failed."""
    if hub.server is None:
        pytest.skip("makes the test server fail, but GENEBERT_HUB_ENDPOINT names a real Hub")
    faults = [
        Fault("POST", "/api/repos/create", status=503),
        Fault("POST", "/api/repos/create", cut_after=10),
        Fault("POST", "/preupload/", status=503),
        Fault("POST", r"\.git/info/lfs/objects/batch", status=502),
        Fault("PUT", "/storage/", cut_after=1000),
        Fault("POST", "/objects/verify", status=503),
        Fault("POST", "/commit/", status=503),
        Fault("POST", "/commit/", delay=1, cut_after=100),
    ]
    hub.server.faults += faults
    private, *exchanged = (new_repository(name) for name in ("private", "exchanged", "other-processor"))
    client = Client(hub, tmp_path_factory.mktemp("pusher"), hub.token)
    read_only = hub.server.add_token("rosalind", "read")
    finished = client.start("-c", PUSH, str(run_folder), private, *exchanged, read_only, with_packages=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert [fault.times for fault in faults] == [0] * len(faults)
    return private, exchanged, finished.stdout, finished.stderr, read_only


def test_uploads_are_tried_again(hub, server, pushed, run_folder):
    private, *_ = pushed
    repository = server.repositories["model", private]
    assert repository.private
    assert [commit.title for commit in repository.history("main")] == ["Upload model", "initial commit"]
    for name in ("model.safetensors", "motifs.safetensors", "config.json"):
        assert repository.content(name) == (run_folder / name).read_bytes()
    check_no_pickles(repository)
    uploads = [call.status for call in server.calls if call.method == "PUT"]
    assert uploads.count(0) == 1  # the one that was cut
    assert set(uploads) == {0, 200}


def test_wrong_and_read_only_tokens(hub, pushed):
    """One clear line each, and a token is never printed."""
    private, _, printed, log, read_only = pushed
    lines = printed.splitlines()[-4:]
    for line, status, name in zip(lines, (401, 401, 403, 403), (private, f"{private}-new") * 2, strict=True):
        assert line == (
            f"Not pushed: {name}: the Hub refuses the token (status {status}): expected one with write access to lab, "
            "see `hf auth whoami`"
        )
    tried_again = (
        "The Hub answers with status 503: again in 1 s\nNo answer from the Hub (RemoteProtocolError): again in 2 s"
    )
    assert log.count(tried_again) == 2  # making the repository, and the commit
    for token in (hub.token, read_only, "hf_nobody"):
        assert token not in printed + log


@pytest.mark.parametrize(("script", "role", "status"), [("pretrain.py", "none", 401), ("finetune.py", "read", 403)])
def test_a_training_with_the_wrong_token_does_not_begin(
    server, new_client, new_repository, script, role, status, tmp_path
):
    (tmp_path / "train.csv").write_text("sequence,label\nACGTACGT,0\nACGTACGA,1\n")
    repo_id = new_repository("untrained")
    token = server.add_token("rosalind", "read") if role == "read" else "hf_nobody"
    data = ["--train_file", tmp_path / "train.csv", "--model_preset", "tiny"] if script == "finetune.py" else []
    arguments = ["--output_dir", tmp_path / "run", "--push_to_hub", "--hub_model_id", repo_id]
    printed = new_client(token=token).fail_example(script, *data, *arguments)
    assert f"{repo_id}: the Hub refuses the token (status {status}): expected one with write access to lab" in printed
    assert token not in printed
    assert ("model", repo_id) not in server.repositories


def test_a_token_on_the_command_line_is_refused():
    token = "_".join(["hf", "secret"])  # so that the lines which a traceback shows do not have it
    with pytest.raises(ValueError, match="log in with `hf auth login` instead") as error:
        parse_args(["--output_dir", "run", "--hub_token", token])
    assert token not in "".join(traceback.format_exception(error.value))


def test_what_is_not_to_be_opened(new_client, pushed):
    private, exchanged, *_ = pushed
    lines = new_client(token=None).run(REFUSED, private, *exchanged).splitlines()
    for line in [line for line in lines if line.startswith("private:")]:
        assert private in line
        assert "private" in line.removeprefix("private:") or "Invalid credentials" in line
        assert "hf_nobody" not in line
    assert len(lines) == 4
    assert "exchanged: The motif bank" in lines[2]
    assert "was made with" in lines[2]
    assert f"exchanged: {exchanged[1]}: its motifs.safetensors has fingerprint" in lines[3]
    assert "its model was trained with" in lines[3]


def test_downloads_are_tried_again_and_then_come_from_the_cache(server, new_client, pushed):
    private, *_ = pushed
    client = new_client(HF_HUB_ETAG_TIMEOUT="2", HF_HUB_DOWNLOAD_TIMEOUT="2")
    faults = [
        Fault("HEAD", r"resolve/\w+/processor_config\.json", status=503),
        Fault("GET", "/storage/", status=503),
        Fault("GET", r"resolve/\w+/modeling_genebert\.py", delay=3),
        Fault("HEAD", r"resolve/\w+/motifs\.safetensors", delay=3),
    ]
    server.faults += faults
    first = client.run(OPEN_AT_SECOND_TRY + OPEN, private)
    assert [fault.times for fault in faults] == [0] * 4
    before = len(server.calls)
    client.variables["HF_HUB_OFFLINE"] = "1"
    assert client.run(OPEN, private) == first
    assert len(server.calls) == before
