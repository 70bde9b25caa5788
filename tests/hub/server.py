"""A small Hub on this machine, for tests: what huggingface_hub, transformers and datasets call, and nothing else.

It refuses what huggingface.co refuses, and notes every call that it does not know: see `HubServer.unknown_calls`.
Large files go to and come from another host name (localhost) than all else (127.0.0.1), as they do there. Xet, pull
requests, gated repositories and Spaces are not there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .repositories import HubError, Repository, check_card


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose method and path fit.

    Args:
        method: such as "PUT".
        path: regular expression, sought in the path.
        times: number of requests.
        status: answer with this status.
        cut_after: read so many bytes of the body, then drop the connection.
        delay: wait so many seconds before the answer.
    """

    method: str
    path: str
    times: int = 1
    status: int | None = None
    cut_after: int | None = None
    delay: float = 0.0


@dataclass(frozen=True)
class Call:
    """One request, as it came."""

    method: str
    path: str
    status: int
    received: int  # bytes of its body


@dataclass(repr=False)
class HubServer:
    """The server and all that it holds; `start` and `stop` it, or use it in a `with` statement.

    Attributes:
        tokens: token -> (name of its user, "write" or "read").
        repositories: (repo_type, repo_id) -> [`Repository`].
        objects: SHA-256 -> content, of all files.
        calls: all requests.
        unknown_calls: those that the server has no answer for: a test that made some must fail.
        faults: what is to go wrong.
    """

    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    organizations: tuple[str, ...] = ("lab",)
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    unknown_calls: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.secret = secrets.token_bytes(16)  # signs the addresses of large files
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        self.http.daemon_threads = True

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    @property
    def storage(self) -> str:
        return f"http://localhost:{self.http.server_port}"

    def add_token(self, user: str, role: str) -> str:
        token = f"hf_{secrets.token_hex(17)}"
        self.tokens[token] = (user, role)
        return token

    def start(self) -> None:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def __enter__(self) -> HubServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def uploads_since(self, number: int) -> list[Call]:
        """The calls after the first `number` that sent large files."""
        return [call for call in self.calls[number:] if call.method == "PUT"]

    def signature(self, method: str, sha256: str) -> str:
        return hmac.new(self.secret, f"{method} {sha256}".encode(), hashlib.sha256).hexdigest()

    def large_file_url(self, method: str, sha256: str) -> str:
        return f"{self.storage}/storage/{sha256}?signature={self.signature(method, sha256)}"


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests. Whatever `ROUTES` does not have is an unknown call."""

    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_request(self) -> None:
        url = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self.received, self.status = 0, 0
        try:
            self.suffer_faults(url.path)
            self.body = self.read_body()
            route, arguments = self.find_route(url.path)
            with self.hub.lock:
                route(self, **arguments)
        except HubError as error:
            self.answer_error(error)
        except ConnectionError:
            self.close_connection = True
        finally:
            self.hub.calls.append(Call(self.command, url.path, self.status, self.received))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_request

    def log_message(self, format: str, *args: Any) -> None:
        pass  # what came is in `HubServer.calls`

    def find_route(self, path: str) -> tuple[Callable[..., None], dict[str, str]]:
        for method, pattern, route in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in method.split():
                found = {name: unquote(value or "") for name, value in match.groupdict().items()}
                return route, found
        self.hub.unknown_calls.append(f"{self.command} {self.path}")
        raise HubError(501, f"the test server has no {self.command} {path}")

    def suffer_faults(self, path: str) -> None:
        for fault in self.hub.faults:
            if fault.times > 0 and fault.method == self.command and re.search(fault.path, path):
                fault.times -= 1
                time.sleep(fault.delay)
                if fault.cut_after is not None:
                    self.rfile.read(min(fault.cut_after, int(self.headers.get("Content-Length", fault.cut_after))))
                    self.connection.shutdown(socket.SHUT_RDWR)
                    raise ConnectionError("cut")
                if fault.status is not None:
                    self.read_body()
                    raise HubError(fault.status, "Service Unavailable")

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:
                raise ConnectionError("the client cut the request")
        self.received = len(body)
        return body

    def answer(
        self, status: int, content: bytes | dict | list = b"", headers: dict[str, str] | None = None, size: int = 0
    ) -> None:
        """Send an answer; `size` is the length that a HEAD request is told."""
        headers = dict(headers or {})
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers.setdefault("Content-Type", "application/json")
        self.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size or len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_error(self, error: HubError) -> None:
        headers = {"X-Error-Message": error.message.replace("\n", " ")}
        if error.code is not None:
            headers["X-Error-Code"] = error.code
        if "commit" in error.body:
            headers["X-Repo-Commit"] = error.body["commit"]
        self.answer(error.status, {"error": error.message, **error.body}, headers)

    # Who may do what

    def user(self) -> tuple[str, str] | None:
        """Name and role of who calls; None without a token."""
        header = self.headers.get("Authorization")
        if header is None:
            return None
        token = header.removeprefix("Bearer ")
        if token not in self.hub.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.hub.tokens[token]

    def check_may_write(self, namespace: str) -> None:
        user = self.user()
        if user is None:
            raise HubError(401, "Invalid username or password.")
        name, role = user
        if role != "write" or namespace not in (name, *self.hub.organizations):
            raise HubError(403, f"You don't have the rights to write to the namespace {namespace}")

    def repository(self, repo_type: str, repo_id: str, write: bool = False) -> Repository:
        repo_type = repo_type.rstrip("s") or "model"
        found, user = self.hub.repositories.get((repo_type, repo_id)), self.user()
        if found is None or (found.private and user is None):
            raise HubError(401 if user is None else 404, "Repository not found", "RepoNotFound")
        if found.private and user is not None:
            namespace = repo_id.split("/")[0]
            if namespace not in (user[0], *self.hub.organizations):
                raise HubError(404, "Repository not found", "RepoNotFound")
        if write:
            self.check_may_write(repo_id.split("/")[0])
        return found

    # Accounts and repositories

    def whoami(self) -> None:
        user = self.user()
        if user is None:
            raise HubError(401, "Invalid username or password.")
        name, role = user
        organizations = [{"name": organization} for organization in self.hub.organizations]
        access = {"accessToken": {"displayName": "test", "role": role}}
        self.answer(200, {"type": "user", "name": name, "orgs": organizations, "auth": access})

    def create_repository(self) -> None:
        request = json.loads(self.body)
        user = self.user()
        namespace = request.get("organization") or (user[0] if user else "")
        self.check_may_write(namespace)
        repo_type, repo_id = request.get("type") or "model", f"{namespace}/{request['name']}"
        prefix = "" if repo_type == "model" else f"{repo_type}s/"
        url = f"{self.hub.endpoint}/{prefix}{repo_id}"
        if (repo_type, repo_id) in self.hub.repositories:
            raise HubError(409, f"You already created this {repo_type} repo", body={"url": url})
        # `private` came from clients before huggingface_hub 1.0, `visibility` comes from those after.
        private = request.get("visibility") == "private" or bool(request.get("private"))
        self.hub.repositories[repo_type, repo_id] = Repository(repo_type, repo_id, private, self.hub.objects)
        self.answer(200, {"url": url, "name": repo_id, "private": private})

    def delete_repository(self) -> None:
        request = json.loads(self.body)
        repo_type, repo_id = request.get("type") or "model", f"{request['organization']}/{request['name']}"
        self.repository(repo_type, repo_id, write=True)
        del self.hub.repositories[repo_type, repo_id]
        self.answer(200, {})

    def validate_yaml(self) -> None:
        request = json.loads(self.body)
        errors, warnings = check_card(request["content"], request["repoType"])
        self.answer(400 if errors else 200, {"errors": errors, "warnings": warnings})

    def info(self, repo_type: str, repo_id: str, revision: str) -> None:
        self.answer(200, self.repository(repo_type, repo_id).info(revision or "main"))

    def tree(self, repo_type: str, repo_id: str, revision: str, folder: str) -> None:
        repository = self.repository(repo_type, repo_id)
        is_recursive = self.query.get("recursive", "").lower() in ("true", "1")
        self.answer(200, repository.tree(revision, folder, is_recursive))

    def paths_info(self, repo_type: str, repo_id: str, revision: str) -> None:
        repository = self.repository(repo_type, repo_id)
        commit = repository.commit_of(revision)
        if "json" in self.headers.get("Content-Type", ""):
            paths = json.loads(self.body)["paths"]
        else:
            paths = parse_qs(self.body.decode()).get("paths", [])
        entries = [repository.describe(commit, path) for path in paths]
        self.answer(200, [entry for entry in entries if entry is not None])

    def refs(self, repo_type: str, repo_id: str) -> None:
        branches = self.repository(repo_type, repo_id).branches
        heads = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": oid} for n, oid in branches.items()]
        self.answer(200, {"branches": heads, "tags": [], "converts": [], "pullRequests": []})

    def commits(self, repo_type: str, repo_id: str, revision: str) -> None:
        history = self.repository(repo_type, repo_id).history(revision)
        date = "2026-01-01T00:00:00.000Z"
        found = [{"id": c.oid, "title": c.title, "message": "", "authors": [], "date": date} for c in history]
        self.answer(200, found)

    def create_branch(self, repo_type: str, repo_id: str, branch: str) -> None:
        repository = self.repository(repo_type, repo_id, write=True)
        if branch in repository.branches:
            raise HubError(409, f"Reference already exists: {branch}")
        start = json.loads(self.body or b"{}").get("startingPoint", "main")
        repository.branches[branch] = repository.commit_of(start).oid
        self.answer(200, {})

    # Uploads

    def preupload(self, repo_type: str, repo_id: str, revision: str) -> None:
        repository = self.repository(repo_type, repo_id, write=True)
        files = []
        for file in json.loads(self.body)["files"]:
            mode = repository.upload_mode(file["path"], file["size"], base64.b64decode(file["sample"]))
            oid = repository.remote_oid(file["path"], revision)
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer(200, {"files": files})

    def batch(self, repo_type: str, repo_id: str) -> None:
        self.repository(repo_type, repo_id, write=True)
        prefix = f"{repo_type}/" if repo_type else ""
        verify = f"{self.hub.endpoint}/{prefix}{repo_id}.git/info/lfs/objects/verify"
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.objects:
                upload = {"href": self.hub.large_file_url("PUT", wanted["oid"])}
                entry["actions"] = {"upload": upload, "verify": {"href": verify}}
            objects.append(entry)
        self.answer(200, {"transfer": "basic", "objects": objects})

    def verify(self, repo_type: str, repo_id: str) -> None:
        self.repository(repo_type, repo_id, write=True)
        wanted = json.loads(self.body)
        if len(self.hub.objects.get(wanted["oid"], b"")) != wanted["size"]:
            raise HubError(404, f"LFS object {wanted['oid']} was not uploaded whole")
        self.answer(200, {})

    def commit(self, repo_type: str, repo_id: str, revision: str) -> None:
        repository = self.repository(repo_type, repo_id, write=True)
        commit = repository.commit(revision, [json.loads(line) for line in self.body.splitlines()])
        url = f"{self.hub.endpoint}/{repo_id}/commit/{commit.oid}"
        self.answer(200, {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})

    def check_signature(self, sha256: str, method: str) -> None:
        if self.headers.get("Host", "").split(":")[0] != "localhost":
            raise HubError(404, "large files have a host of their own")
        if self.headers.get("Authorization") is not None:  # as S3; and a token has no business there
            raise HubError(400, "Only one auth mechanism allowed; found a signature and an Authorization header")
        if not hmac.compare_digest(self.query.get("signature", ""), self.hub.signature(method, sha256)):
            raise HubError(403, "SignatureDoesNotMatch")

    def put_large_file(self, sha256: str) -> None:
        self.check_signature(sha256, "PUT")
        if hashlib.sha256(self.body).hexdigest() != sha256:
            raise HubError(400, "XAmzContentSHA256Mismatch")
        self.hub.objects[sha256] = self.body
        self.answer(200)

    # Downloads

    def get_large_file(self, sha256: str) -> None:
        self.check_signature(sha256, "GET")
        self.answer_content(self.hub.objects[sha256], {"ETag": f'"{sha256}"'})

    def resolve(self, repo_type: str, repo_id: str, revision: str, path: str) -> None:
        commit, blob = self.repository(repo_type, repo_id).blob(revision, path)
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.etag}"'}
        if blob.is_lfs:
            headers |= {"X-Linked-Size": str(blob.size), "X-Linked-ETag": f'"{blob.sha256}"'}
            headers["Location"] = self.hub.large_file_url("GET", blob.sha256)
            self.answer(302, b"", headers)
        else:
            self.answer_content(self.hub.objects[blob.sha256], headers)

    def answer_content(self, content: bytes, headers: dict[str, str]) -> None:
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self.answer(200, content, headers, size=len(content))
        first, last = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
        if first > last:
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        part = content[first : last + 1]
        return self.answer(206, part, headers, size=len(part))

    def agent_harnesses(self) -> None:
        self.answer(200, {"standardEnvVars": [], "harnesses": {}})


_ID = r"(?P<repo_id>[\w.-]+/[\w.-]+)"
_API = rf"/api/(?P<repo_type>models|datasets|spaces)/{_ID}"
_GIT = rf"/(?:(?P<repo_type>datasets|spaces)/)?{_ID}"
_REVISION = r"(?P<revision>[^/]+)"  # a slash in it comes as %2F
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/api/agent-harnesses", Handler.agent_harnesses),
    ("GET", "/api/whoami-v2", Handler.whoami),
    ("POST", "/api/repos/create", Handler.create_repository),
    ("DELETE", "/api/repos/delete", Handler.delete_repository),
    ("POST", "/api/validate-yaml", Handler.validate_yaml),
    ("GET", rf"{_API}(?:/revision/{_REVISION})?", Handler.info),
    ("GET", rf"{_API}/tree/{_REVISION}(?:/(?P<folder>.*))?", Handler.tree),
    ("POST", rf"{_API}/paths-info/{_REVISION}", Handler.paths_info),
    ("GET", rf"{_API}/refs", Handler.refs),
    ("GET", rf"{_API}/commits/{_REVISION}", Handler.commits),
    ("POST", rf"{_API}/branch/(?P<branch>[^/]+)", Handler.create_branch),
    ("POST", rf"{_API}/preupload/{_REVISION}", Handler.preupload),
    ("POST", rf"{_API}/commit/{_REVISION}", Handler.commit),
    ("POST", rf"{_GIT}\.git/info/lfs/objects/batch", Handler.batch),
    ("POST", rf"{_GIT}\.git/info/lfs/objects/verify", Handler.verify),
    ("PUT", r"/storage/(?P<sha256>[0-9a-f]{64})", Handler.put_large_file),
    ("GET HEAD", r"/storage/(?P<sha256>[0-9a-f]{64})", Handler.get_large_file),
    ("GET HEAD", rf"{_GIT}/resolve/{_REVISION}/(?P<path>.+)", Handler.resolve),
]
