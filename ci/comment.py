"""Put report.md and its pictures on the pull request that this job is of, in place of what an earlier job put there.

GitHub: GITHUB_TOKEN, GITHUB_REPOSITORY, PULL_REQUEST (its number), GITHUB_API_URL, GITHUB_SERVER_URL. GitLab:
GITLAB_TOKEN, and what GitLab sets of itself. Needs the standard library only: where a token can write, no package runs.
"""

import base64
import http.client
import json
import os
import re
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "<!-- make ci-comment -->"  # by which the comment is known again
LONGEST = 65_000  # letters; GitHub takes 65,536
PICTURE = re.compile(r"!\[[^\]]*\]\((report/[\w.-]+\.png)\)")
ELSEWHERE = "(The pictures are in the job's artifacts.)"
PNG = b"\x89PNG\r\n\x1a\n"
SECONDS = 60  # to wait for an answer


def main() -> None:
    """Exit with a sentence where there is nothing to put, nowhere to put it, or no leave to."""
    try:
        if Path("report.md").is_symlink():  # a change's code made it, and this job holds a token
            sys.exit("error: report.md is a link: `make ci-experiment` writes a file")
        report = Path("report.md").read_text(encoding="utf-8")
        if "GITHUB_REPOSITORY" in os.environ:
            print(on_github(report))
        elif "CI_MERGE_REQUEST_IID" in os.environ:
            print(on_gitlab(report))
        else:
            sys.exit(
                "error: this is no job of a pull request: `make ci-experiment` writes report.md, which you can post"
            )
    except FileNotFoundError:
        sys.exit("error: there is no report.md: `make ci-experiment` writes it")
    except KeyError as missing:
        sys.exit(f"error: {missing.args[0]} is not set: see docs/ci.md")
    except urllib.error.HTTPError as error:
        sys.exit(f"error: {error.url} answers {error.code} {error.reason}: see docs/ci.md for what the token may do")
    # urllib wraps what connecting raises, but not what reading does.
    except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
        sys.exit(f"error: no answer ({getattr(error, 'reason', error)})")


def on_github(report: str) -> str:
    """The comment's address."""
    repository, number = os.environ["GITHUB_REPOSITORY"], int(os.environ["PULL_REQUEST"])
    api = f"{os.environ['GITHUB_API_URL']}/repos/{repository}"
    headers = {"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"}

    def ask(method: str, path: str, value: Any = None) -> Any:
        return _ask(method, f"{api}/{path}", headers, value)

    def store(pictures: list[str]) -> dict[str, str]:
        """As files of a commit that a ref of its own keeps: no branch, so that clones do not fetch it."""
        tree = []
        for path in pictures:
            content = base64.b64encode(Path(path).read_bytes()).decode()
            blob = ask("POST", "git/blobs", {"content": content, "encoding": "base64"})
            tree.append({"path": Path(path).name, "mode": "100644", "type": "blob", "sha": blob["sha"]})
        made = ask("POST", "git/trees", {"tree": tree})
        message = f"Pictures of pull request {number}"
        commit = ask("POST", "git/commits", {"message": message, "tree": made["sha"], "parents": []})["sha"]
        ref = f"ganpipe/pull-{number}"
        try:
            ask("PATCH", f"git/refs/{ref}", {"sha": commit, "force": True})
        except urllib.error.HTTPError as error:
            if error.code not in (404, 422):  # for a ref that is not there yet
                raise
            ask("POST", "git/refs", {"ref": f"refs/{ref}", "sha": commit})
        place = f"{os.environ['GITHUB_SERVER_URL']}/{repository}/blob/{commit}"
        return {path: f"{place}/{Path(path).name}?raw=true" for path in pictures}

    body = _body(report, store)
    earlier = _earlier(
        lambda page: ask("GET", f"issues/{number}/comments?per_page=100&page={page}"),
        lambda comment: comment["user"]["type"] == "Bot",
    )
    if earlier is None:
        posted = ask("POST", f"issues/{number}/comments", {"body": body})
    else:
        posted = ask("PATCH", f"issues/comments/{earlier}", {"body": body})
    return str(posted["html_url"])


def on_gitlab(report: str) -> str:
    """The merge request's address."""
    project = f"{os.environ['CI_API_V4_URL']}/projects/{os.environ['CI_PROJECT_ID']}"
    notes = f"{project}/merge_requests/{os.environ['CI_MERGE_REQUEST_IID']}/notes"
    headers = {"PRIVATE-TOKEN": os.environ["GITLAB_TOKEN"]}

    def store(pictures: list[str]) -> dict[str, str]:
        places = {}
        for path in pictures:
            border = secrets.token_hex(16)
            head = (
                f'Content-Disposition: form-data; name="file"; filename="{Path(path).name}"\r\nContent-Type: image/png'
            )
            content = (
                f"--{border}\r\n{head}\r\n\r\n".encode() + Path(path).read_bytes() + f"\r\n--{border}--\r\n".encode()
            )
            form = {**headers, "Content-Type": f"multipart/form-data; boundary={border}"}
            places[path] = str(_ask("POST", f"{project}/uploads", form, content)["url"])
        return places

    body = _body(report, store)
    me = _ask("GET", f"{os.environ['CI_API_V4_URL']}/user", headers)["id"]
    earlier = _earlier(
        lambda page: _ask("GET", f"{notes}?per_page=100&page={page}", headers),
        lambda note: note["author"]["id"] == me,
    )
    if earlier is None:
        _ask("POST", notes, headers, {"body": body})
    else:
        _ask("PUT", f"{notes}/{earlier}", headers, {"body": body})
    return f"{os.environ['CI_MERGE_REQUEST_PROJECT_URL']}/-/merge_requests/{os.environ['CI_MERGE_REQUEST_IID']}"


def _body(report: str, store: Callable[[list[str]], dict[str, str]]) -> str:
    """The report with its pictures where `store` has put them; without, where the token may not put them."""
    pictures = [path for path in dict.fromkeys(PICTURE.findall(report)) if _is_picture(Path(path))]
    try:
        places = store(pictures) if pictures else {}
        words = PICTURE.sub(lambda link: f"![]({places[link[1]]})" if link[1] in places else "", report)
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403, 404):
            raise
        words = f"{PICTURE.sub('', report)}\n{ELSEWHERE}\n"
    if len(words) > LONGEST:
        words = f"{words[:LONGEST]}\n\n(Cut: the job's artifacts have all of it.)\n"
    return f"{MARK}\n{words}"


def _is_picture(path: Path) -> bool:
    """Whether it is one, and no link to what else this machine holds."""
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(PNG)) == PNG


def _earlier(ask: Callable[[int], list[dict[str, Any]]], ours: Callable[[dict[str, Any]], bool]) -> int | None:
    """The id of the comment that begins with our mark, among those of all pages; not of one that another put there."""
    page = 1
    while comments := ask(page):
        for comment in comments:
            if comment["body"].startswith(MARK) and ours(comment):
                return int(comment["id"])
        page += 1
    return None


def _ask(method: str, url: str, headers: dict[str, str], value: Any = None) -> Any:
    """The answer's JSON. `value` is sent as JSON, bytes as they are."""
    data = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)  # noqa: S310 (CI names it)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    main()
