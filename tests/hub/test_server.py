"""The test server speaks the Hub's language, and refuses what the Hub refuses."""

from __future__ import annotations

import json
import textwrap
import urllib.error
import urllib.request

import pytest

from .repositories import Blob, check_card


def request(server, method, path, token=None, body=None, host=None, **headers):
    """Status, headers and body of a bare request; redirects are not followed."""

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if isinstance(body, (dict, list)):
        body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    url = (host or server.endpoint) + path if path.startswith("/") else path
    wanted = urllib.request.Request(url, data=body, headers=headers, method=method)
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
    try:
        with opener.open(wanted, timeout=5) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def create(server, token, name, **options):
    body = {"name": name, "organization": "lab", "type": "model", **options}
    return request(server, "POST", "/api/repos/create", token, body)


def commit(server, token, repo_id, *operations, parent=None, repo_type="models"):
    header = {"summary": "a commit", "description": "", **({"parentCommit": parent} if parent else {})}
    lines = [{"key": "header", "value": header}, *operations]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    return request(server, "POST", f"/api/{repo_type}/{repo_id}/commit/main", token, body)


def text_file(path, content):
    import base64

    return {
        "key": "file",
        "value": {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"},
    }


@pytest.fixture(scope="module")
def tokens(hub):
    if hub.server is None:
        pytest.skip("looks into the test server, but GENEBERT_HUB_ENDPOINT names a real Hub")
    return {"write": hub.token, "read": hub.server.add_token("rosalind", "read"), "wrong": "hf_" + 34 * "x"}


def test_tokens(server, tokens):
    status, _, body = request(server, "GET", "/api/whoami-v2", tokens["write"])
    assert (status, json.loads(body)["name"]) == (200, "ada")
    status, headers, _ = request(server, "GET", "/api/whoami-v2", tokens["wrong"])
    assert (status, headers["X-Error-Message"]) == (401, "Invalid credentials in Authorization header")
    assert request(server, "GET", "/api/whoami-v2")[0] == 401
    assert create(server, tokens["read"], "mine")[0] == 403
    assert create(server, tokens["wrong"], "mine")[0] == 401
    assert create(server, None, "mine")[0] == 401
    assert create(server, tokens["write"], "mine", organization="others")[0] == 403
    assert create(server, tokens["write"], "mine")[0] == 200
    status, _, body = create(server, tokens["write"], "mine")
    assert (status, json.loads(body)["url"]) == (409, f"{server.endpoint}/lab/mine")
    assert commit(server, tokens["read"], "lab/mine", text_file("a.txt", b"a"))[0] == 403
    assert commit(server, None, "lab/mine", text_file("a.txt", b"a"))[0] == 401


def test_private_and_missing_repositories_look_alike(server, tokens):
    assert create(server, tokens["write"], "secret", visibility="private")[0] == 200
    for repo_id in ("lab/secret", "lab/nothing"):
        for path in (f"/api/models/{repo_id}", f"/{repo_id}/resolve/main/config.json"):
            status, headers, _ = request(server, "GET", path)
            assert (status, headers["X-Error-Code"]) == (401, "RepoNotFound")
    assert request(server, "GET", "/api/models/lab/nothing", tokens["write"])[0] == 404
    assert request(server, "GET", "/api/models/lab/secret", tokens["write"])[0] == 200


def test_commits_have_parents(server, tokens):
    create(server, tokens["write"], "history")
    first = json.loads(commit(server, tokens["write"], "lab/history", text_file("a.txt", b"one"))[2])["commitOid"]
    status, _, body = commit(server, tokens["write"], "lab/history", text_file("a.txt", b"two"), parent=first)
    second = json.loads(body)["commitOid"]
    assert status == 200
    status, headers, _ = commit(server, tokens["write"], "lab/history", text_file("a.txt", b"three"), parent=first)
    assert (status, headers["X-Error-Message"][:27]) == (412, "A commit has happened since")
    repository = server.repositories["model", "lab/history"]
    assert [entry.oid for entry in repository.history("main")][:2] == [second, first]
    status, headers, body = request(server, "GET", "/lab/history/resolve/main/a.txt")
    assert (status, headers["X-Repo-Commit"], body) == (200, second, b"two")
    assert request(server, "GET", f"/lab/history/resolve/{first}/a.txt")[2] == b"one"
    assert request(server, "GET", "/lab/history/resolve/none/a.txt")[1]["X-Error-Code"] == "RevisionNotFound"
    status, headers, _ = request(server, "HEAD", "/lab/history/resolve/main/b.txt")
    assert (status, headers["X-Error-Code"], headers["X-Repo-Commit"]) == (404, "EntryNotFound", second)


def test_a_bad_card_is_refused(server, tokens):
    create(server, tokens["write"], "cards")
    for text, message in {
        "---\nlicense: [apache-2.0\n---\n": "YAML",
        "---\nlicense: my-own\n---\n": '"license" must be one of',
        "---\ntags: {a: b}\n---\n": '"tags" must be a string or an array',
        "---\nbase_model: ../runs/demo\n---\n": "\"base_model\" with value '../runs/demo' is not an id",
        "---\nmodel-index: [{results: []}]\n---\n": '"model-index[0].name" is required',
    }.items():
        body = {"content": text, "repoType": "model"}
        status, _, answer = request(server, "POST", "/api/validate-yaml", tokens["write"], body)
        assert status == 400
        assert message in json.loads(answer)["errors"][0]["message"]
        assert commit(server, tokens["write"], "lab/cards", text_file("README.md", text.encode()))[0] == 400
    assert check_card("# no metadata", "model")[1] != []
    assert check_card("---\nlicense: mit\ntags: [dna]\n---\n", "model") == ([], [])
    errors, warnings = check_card("---\nsize_categories: [n>1B]\n---\n", "dataset")
    assert errors == [] and warnings[0]["message"].startswith('"size_categories" must be some of [n<1K, 1K<n<10K,')
    assert "README.md" not in server.repositories["model", "lab/cards"].commit_of("main").files


def test_large_files_are_checked_and_have_a_host_of_their_own(server, tokens):
    create(server, tokens["write"], "weights")
    content = bytes(range(256)) * 8
    blob = Blob.of(content, True)
    pointer = {
        "key": "lfsFile",
        "value": {"path": "w.safetensors", "algo": "sha256", "oid": blob.sha256, "size": 2048},
    }
    status, headers, _ = commit(server, tokens["write"], "lab/weights", pointer)
    assert (status, "was never uploaded" in headers["X-Error-Message"]) == (400, True)
    wanted = {"operation": "upload", "objects": [{"oid": blob.sha256, "size": 2048}]}
    path = "/lab/weights.git/info/lfs/objects/batch"
    assert request(server, "POST", path, tokens["read"], wanted)[0] == 403
    (entry,) = json.loads(request(server, "POST", path, tokens["write"], wanted)[2])["objects"]
    upload, verify = entry["actions"]["upload"]["href"], entry["actions"]["verify"]["href"]
    assert upload.startswith(server.storage)
    assert verify.startswith(server.endpoint)
    assert request(server, "PUT", upload, body=content[:-1])[0] == 400
    assert request(server, "PUT", upload, tokens["write"], content)[0] == 400  # a token for another host
    assert request(server, "PUT", upload[:-1] + "x", body=content)[0] == 403
    check = {"oid": blob.sha256, "size": 2048}
    assert request(server, "POST", verify, tokens["write"], check)[0] == 404
    assert request(server, "PUT", upload, body=content)[0] == 200
    assert request(server, "POST", verify, tokens["write"], check)[0] == 200
    assert "actions" not in json.loads(request(server, "POST", path, tokens["write"], wanted)[2])["objects"][0]
    assert commit(server, tokens["write"], "lab/weights", pointer)[0] == 200
    status, headers, _ = request(server, "HEAD", "/lab/weights/resolve/main/w.safetensors")
    assert (status, headers["X-Linked-Size"], headers["X-Linked-ETag"]) == (302, "2048", f'"{blob.sha256}"')
    assert request(server, "GET", headers["Location"])[2] == content
    status, ranged, part = request(server, "GET", headers["Location"], Range="bytes=250-259")
    assert (status, ranged["Content-Range"], part) == (206, "bytes 250-259/2048", content[250:260])


def test_unknown_calls_are_noted(server):
    assert request(server, "GET", "/api/papers/2110.05231")[0] == 501
    assert server.unknown_calls == ["GET /api/papers/2110.05231"]
    server.unknown_calls.clear()


CLIENT = textwrap.dedent("""
    import sys
    from huggingface_hub import HfApi, ModelCard, hf_hub_download, snapshot_download
    from huggingface_hub.utils import EntryNotFoundError, HfHubHTTPError
    repo_id, api = sys.argv[1], HfApi()
    assert api.create_repo(repo_id, private=True).repo_id == repo_id
    assert api.create_repo(repo_id, exist_ok=True).repo_id == repo_id
    first = api.upload_file(path_or_fileobj=b"\\x00" * 1000, path_in_repo="deep/a.safetensors", repo_id=repo_id)
    card = b"---\\nlicense: mit\\ntags: [dna]\\n---\\n# Card\\n"
    second = api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo_id)
    assert api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo_id).oid == second.oid
    info = api.model_info(repo_id)
    assert (info.sha, info.private, info.card_data.license) == (second.oid, True, "mit")
    assert api.list_repo_files(repo_id) == [".gitattributes", "README.md", "deep/a.safetensors"]
    assert [c.commit_id for c in api.list_repo_commits(repo_id)][:2] == [second.oid, first.oid]
    folders = [entry.path for entry in api.list_repo_tree(repo_id) if entry.path == "deep"]
    assert folders == ["deep"]
    try:
        list(api.list_repo_tree(repo_id, "nowhere"))
        raise SystemExit("a folder that is not there was listed")
    except EntryNotFoundError:
        pass
    try:
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo_id, parent_commit=first.oid)
        raise SystemExit("a stale parent was taken")
    except HfHubHTTPError as error:
        assert error.response.status_code == 412, error
    api.create_branch(repo_id, branch="dev")
    api.delete_file("deep/a.safetensors", repo_id, revision="dev")
    assert {b.name for b in api.list_repo_refs(repo_id).branches} == {"main", "dev"}
    path = hf_hub_download(repo_id, "deep/a.safetensors")
    assert open(path, "rb").read() == b"\\x00" * 1000
    assert second.oid in path
    folder = snapshot_download(repo_id, revision="dev")
    import os
    assert sorted(os.listdir(folder)) == [".gitattributes", "README.md"]
    assert ModelCard.load(repo_id).data.tags == ["dna"]
    api.delete_repo(repo_id)
    assert not api.repo_exists(repo_id)
""")


def test_huggingface_hub_is_content(new_client, new_repository):
    new_client().run(CLIENT, new_repository("client"))
