"""What is pushed is complete, holds no pickle, can be pinned, and is not sent twice."""

from __future__ import annotations

import json
import shutil

import pytest

from examples import finetune, pretrain
from examples.push_to_hub import check_run, files_to_push, push_dataset, push_run
from modeling_genebert import MotifBank
from tests.running import SMALL_RUN

from .checks import changed_files, check_no_pickles, check_no_places, looks_pickled
from .server import Fault


DNA = "ATTGCCATTGCAACGT"


@pytest.fixture
def copied(run_folder, tmp_path):
    return shutil.copytree(run_folder, tmp_path / "copied")


def test_what_looks_pickled(run_folder):
    pickled = {path.name for path in run_folder.rglob("*") if path.is_file() and looks_pickled("", path.read_bytes())}
    assert pickled == {"optimizer.pt", "training_args.bin", "state.pkl"}
    assert looks_pickled("pytorch_model.bin", b"")


def test_files_of_a_run(run_folder):
    files = files_to_push(run_folder)
    assert [name for name in files if not name.endswith(".py")] == [
        "README.md",
        "all_results.json",
        "config.json",
        "learning_curves.png",
        "model.safetensors",
        "motifs.safetensors",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert {"modeling_genebert.py", "processing_genebert.py", "motifs_genebert.py"} <= set(files)


def test_a_complete_run(run_folder):
    check_run(run_folder)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "no config.json, expected the folder of a finished run"),
        ("README.md", "no README.md"),
        ("model.safetensors", "no model.safetensors; weights in other formats are not pushed"),
        ("processing_genebert.py", "no processing_genebert.py, but \\w+.json names processing_genebert"),
        ("region_encoder_genebert.py", r"no region_encoder_genebert.py, but \w+.py imports it"),
        ("motifs.safetensors", "motifs.safetensors: no such motif bank file"),
    ],
)
def test_a_run_that_lacks_a_file(copied, missing, message):
    (copied / missing).unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        check_run(copied)


def test_a_run_with_another_motif_bank(copied, bank):
    other = MotifBank(bank.ids[::-1], bank.names[::-1], bank.families, bank.counts[::-1])
    other.save(copied / "motifs.safetensors")
    with pytest.raises(ValueError, match=f"fingerprint {other.fingerprint}, but the model was trained with"):
        check_run(copied)


def test_a_run_with_code_elsewhere(copied):
    config = json.loads((copied / "config.json").read_text())
    config["auto_map"]["AutoModel"] = "lab/other--modeling_genebert.GeneBertModel"
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="names code of lab/other, expected code in the folder itself"):
        check_run(copied)


def test_no_token(run_folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(PermissionError, match="no token: log in with `hf auth login`, or set HF_TOKEN"):
        push_run(run_folder, "lab/run")


def test_a_folder_that_is_no_data_set(run_folder):
    with pytest.raises(ValueError, match="expected a data set in the Hub's layout, with README.md and Parquet"):
        push_dataset(run_folder, "lab/run")


PUSH_OBJECTS = """
import sys
from huggingface_hub import HfApi
from modeling_genebert import GeneBertForPreTraining, GeneBertProcessor
folder, repo_id = sys.argv[1:]
model, processor = GeneBertForPreTraining.from_pretrained(folder), GeneBertProcessor.from_pretrained(folder)
model.push_to_hub(repo_id)
whole = processor.push_to_hub(repo_id).oid
for thing in (model, processor):
    assert thing.push_to_hub(repo_id).oid == whole  # nothing to send
list(model.srm_head.parameters())[-1].data += 1
print(whole, model.push_to_hub(repo_id).oid)
broken = b"raise RuntimeError('newer code')"
HfApi().upload_file(path_or_fileobj=broken, path_in_repo="modeling_genebert.py", repo_id=repo_id)
"""

OPEN_ALL = """
import sys, torch, transformers
from transformers import pipeline
repo_id, first, second, dna = sys.argv[1:]
pinned = {"trust_remote_code": True, "code_revision": first}
weights = {}
for name in ("AutoConfig", "AutoTokenizer", "AutoFeatureExtractor", "AutoProcessor", "AutoModel",
             "AutoModelForPreTraining", "AutoModelForMaskedLM", "AutoModelForSequenceClassification",
             "AutoModelForTokenClassification"):
    for revision in (first, second):
        found = getattr(transformers, name).from_pretrained(repo_id, revision=revision, **pinned)
        assert first in type(found).__module__, (name, type(found).__module__)
        if name == "AutoModelForPreTraining":
            weights[revision] = found.state_dict()
different = [name for name in weights[first] if not torch.equal(weights[first][name], weights[second][name])]
assert len(different) == 1 and different[0].startswith("srm_head."), different
try:
    transformers.AutoModel.from_pretrained(repo_id, trust_remote_code=True)
    raise SystemExit("the newest code was not used")
except RuntimeError as error:
    assert str(error) == "newer code"
options = {"revision": first, **pinned}
filled = pipeline("fill-mask", model=repo_id, **options)(dna + "[MASK]", top_k=2)
assert len(filled) == 2 and all(len(entry["token_str"]) == 3 for entry in filled), filled
features = pipeline("feature-extraction", model=repo_id, **options)(dna)
model = transformers.AutoModel.from_pretrained(repo_id, **options).eval()
tokens = transformers.AutoTokenizer.from_pretrained(repo_id, **options)(dna, return_tensors="pt")
with torch.no_grad():
    expected = model(**tokens).last_hidden_state
torch.testing.assert_close(torch.tensor(features), expected, atol=1e-5, rtol=0)
"""


def test_push_to_hub_of_model_and_processor(hub, new_client, new_repository, run_folder):
    """All Auto classes open it in a process without the package; its code is pinned against a newer, broken one."""
    repo_id = new_repository("objects")
    first, second = new_client().run(PUSH_OBJECTS, run_folder, repo_id, with_packages=True).split()[-2:]
    if hub.server is not None:
        repository = hub.server.repositories["model", repo_id]
        assert len(repository.history("main")) == 5  # initial commit, model, processor, weights, broken code
        assert changed_files(repository, 1) == {"model.safetensors"}
        check_no_pickles(repository)
    new_client(token=None).run(OPEN_ALL, repo_id, first, second, DNA)


PUSH_RUNS = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, ModelCard, RepoCard
from examples.push_to_hub import main
folder, repo_id = Path(sys.argv[1]), sys.argv[2]
arguments = ["--folder", str(folder), "--repo_id", repo_id, "--private"]
main(arguments)
api = HfApi()
first = api.model_info(repo_id)
assert first.private and first.card_data.tags == ["genebert"], first
main(arguments)
assert api.model_info(repo_id).sha == first.sha
(folder / "all_results.json").write_text('{"eval_loss": 0.5}')
main([*arguments, "--commit_message", "Better"])
main([*arguments, "--revision", "dev"])
(folder / "README.md").write_text("---\\nlicense: nobody knows\\n---\\n# A run")
try:
    main(arguments)
except SystemExit as error:
    print(error)
"""


def test_push_a_run(hub, new_client, new_repository, copied):
    repo_id = new_repository("run")
    printed = new_client().run(PUSH_RUNS, copied, repo_id, with_packages=True)
    assert f"Pushed: {hub.endpoint}/{repo_id}/commit/" in printed
    assert 'Not pushed: Invalid metadata in README.md. - "license" must be one of' in printed
    assert hub.token not in printed
    if hub.server is not None:
        repository = hub.server.repositories["model", repo_id]
        titles = [commit.title for commit in repository.history("main")]
        assert titles == ["Better", "Upload model", "initial commit"]
        assert changed_files(repository) == {"all_results.json"}
        assert repository.branches["dev"] == repository.branches["main"]
        files = repository.commit_of("main").files
        assert set(files) == {*files_to_push(copied), ".gitattributes"}
        check_no_pickles(repository)


def test_pretraining_pushes_its_run(server, new_client, new_repository, pretrained, atac_folder, tmp_path):
    folder = shutil.copytree(pretrained, tmp_path / "run")
    repo_id = new_repository("pretrained")
    arguments = [
        *("--dataset_name_or_path", atac_folder, "--output_dir", folder, "--max_train_steps", "6"),
        *("--checkpointing_steps", "3", "--eval_steps", "3", "--logging_steps", "2", *SMALL_RUN),
        *("--resume_from_checkpoint", "latest", "--push_to_hub", "--hub_model_id", repo_id),
    ]
    assert "--push_to_hub needs a token" in new_client(token=None).fail_example("pretrain.py", *arguments)
    new_client().run_example("pretrain.py", *arguments)
    repository = server.repositories["model", repo_id]
    assert set(files_to_push(folder)) <= set(repository.commit_of("main").files)
    check_no_pickles(repository)
    check_no_places(repository, secrets=server.tokens)


OPEN_EACH = """
import sys
from transformers import AutoModelForPreTraining, AutoProcessor
repo_id, *revisions = sys.argv[1:]
for revision in revisions:
    AutoProcessor.from_pretrained(repo_id, revision=revision, trust_remote_code=True)
    options = {"revision": revision, "trust_remote_code": True, "output_loading_info": True}
    model, info = AutoModelForPreTraining.from_pretrained(repo_id, **options)
    assert not info["missing_keys"], info
    print(sum(parameter.double().sum().item() for parameter in model.parameters()))
"""


def test_pretraining_pushes_every_checkpoint(server, new_client, new_repository, atac_folder, tmp_path):
    """What is pushed on the way is a whole model, which others can open; where a push fails, training goes on."""
    repo_id = new_repository("every-save")
    arguments = [
        *("--dataset_name_or_path", atac_folder, "--output_dir", tmp_path / "run", "--max_train_steps", "3"),
        *("--checkpointing_steps", "1", "--logging_steps", "1", "--eval_steps", "9", *SMALL_RUN),
        *("--push_to_hub", "--hub_model_id", repo_id, "--hub_strategy", "every_save", "--hub_private_repo"),
    ]
    server.faults.append(Fault("POST", "/commit/", status=400))
    printed = new_client().run_example("pretrain.py", *arguments)
    assert "Step 1 was not pushed, the next checkpoint will be: " in printed
    repository = server.repositories["model", repo_id]
    assert repository.private
    history = repository.history("main")
    assert [commit.title for commit in history] == ["Upload model", "Training in progress, step 2", "initial commit"]
    assert not {"README.md", "training_args.json"} & set(history[1].files)
    check_no_pickles(repository)
    check_no_places(repository, secrets=server.tokens)
    sums = new_client().run(OPEN_EACH, repo_id, history[1].oid, history[0].oid).split()
    assert len(set(sums)) == 2


def test_adapters_are_pushed_beside_the_model(server, new_client, new_repository, run_folder, tmp_path):
    """At the root, transformers would take them for what is to be opened, with a base that only this machine has."""
    rows = [f"{dna},{number % 2}" for number, dna in enumerate([DNA, DNA[::-1]] * 6)]
    (tmp_path / "train.csv").write_text("\n".join(["sequence,label", *rows]))
    repo_id = new_repository("adapters")
    new_client().run_example(
        "finetune.py",
        *("--train_file", tmp_path / "train.csv", "--model_name_or_path", run_folder, "--training_mode", "lora"),
        *("--output_dir", tmp_path / "run", "--max_steps", "2", "--save_strategy", "steps", "--save_steps", "1"),
        *("--load_best_model_at_end", "False"),
        *("--use_cpu", "True", "--disable_tqdm", "True", "--report_to", "none", "--num_bootstrap", "0"),
        *("--push_to_hub", "--hub_model_id", repo_id, "--hub_strategy", "every_save"),
    )
    repository = server.repositories["model", repo_id]
    titles = [commit.title for commit in repository.history("main")]
    assert titles[0] == "End of training"
    assert "Training in progress, step 1" in titles
    adapters = {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    history = repository.history("main")
    assert set(history[-2].files) == {".gitattributes", *adapters}
    assert {path for path in history[0].files if "adapter" in path} == adapters
    assert json.loads(repository.content("adapter/adapter_config.json"))["base_model_name_or_path"] == "run"
    check_no_pickles(repository)
    check_no_places(repository, secrets=server.tokens)
    classify = "from transformers import pipeline\n"
    classify += "print(len(pipeline('dna-classification', model=sys.argv[1], trust_remote_code=True)(sys.argv[2])))"
    assert new_client(token=None).run(classify, repo_id, DNA).split()[-1] == "2"


@pytest.mark.parametrize("parse_args", [pretrain.parse_args, finetune.parse_args])
@pytest.mark.parametrize("strategy", ["checkpoint", "all_checkpoints"])
def test_strategies_that_would_push_pickles(parse_args, strategy, capsys):
    arguments = ["--output_dir", "run", "--push_to_hub", "--hub_model_id", "lab/x", "--hub_strategy", strategy]
    with pytest.raises((SystemExit, ValueError)) as error:  # argparse prints what is wrong
        parse_args(arguments)
    said = capsys.readouterr().err + str(error.value)
    assert f"--hub_strategy {strategy} would push optimizer states, which are pickles: pass end or every_save" in said
