"""The commands of the official client, and what it does with transforms that come and go."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.official_client import OfficialClient, ServedX, served

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSFORM = """
raw = UPROOT_RAW([{"treename": "Events", "filter_name": ["event"]}])

def sample(name, query=raw):
    return Sample(Name=name, Dataset=dataset.FileList(VALUES["files"]), Query=query)
"""


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, nanoaod_files: list[Path]
) -> Iterator[ServedX]:
    folder = tmp_path_factory.mktemp("service")
    root = str(nanoaod_files[0].parent)
    arguments = ("--port", "0", "--workers", "1", "--root", root, "--allow-python")
    with served(folder / "data", *arguments) as running:
        yield running


@pytest.fixture
def client(service: ServedX, official_client: OfficialClient) -> OfficialClient:
    official_client.configure(service.client_file)
    return official_client


def deliver(client: OfficialClient, files: list[Path], title: str = "events") -> list[str]:
    """Deliver one sample into the client's own cache; return its paths."""
    found = client.run(
        TRANSFORM
        + """
tell(asyncio.run(get([sample(VALUES["title"])], None, general={"IgnoreLocalCache": False})))
""",
        files=files,
        title=title,
    )[title]
    assert isinstance(found, list), found
    return found


def ask(service: ServedX, path: str) -> Any:
    """Ask the service itself."""
    with urllib.request.urlopen(f"{service.url}/servicex/{path}") as answer:
        return json.loads(answer.read())


def transforms(service: ServedX) -> dict[str, str]:
    """Return the titles of all transforms by their ids."""
    found = ask(service, "transformation")["requests"]
    return {item["request_id"]: item["title"] for item in found}


def run_commands(client: OfficialClient, *commands: list[str]) -> list[str]:
    """Run commands of the client, all in one process; return what each prints.

    Some of this release do what they should, and fail then: they wait for what is no coroutine.
    """
    found: list[str] = client.run(
        """
        import io
        from contextlib import redirect_stdout
        from servicex.app.main import app
        told = []
        for command in VALUES["commands"]:
            with redirect_stdout(io.StringIO()) as text:
                try:
                    app(command, standalone_mode=False)
                except ValueError as error:
                    print(error)
            told.append(text.getvalue())
        tell(told)
        """,
        commands=commands,
    )
    return found


def test_a_transform_is_listed_fetched_and_deleted(service, client, nanoaod_files):
    title = "all events"
    paths = deliver(client, nanoaod_files[:2], title)
    (request_id,) = [name for name, known in transforms(service).items() if known == title]
    table, listed, fetched, cached, deleted, _ = run_commands(
        client,
        ["transforms", "list"],
        ["transforms", "files", request_id],
        ["transforms", "download", request_id],
        ["cache", "list"],
        ["transforms", "delete", request_id],
        ["cache", "delete", request_id],  # the command before fails before it does this
    )
    (row,) = [line.split() for line in table.splitlines() if request_id in line]
    assert [*row[:4], row[-1]] == [request_id, "all", "events", "Complete", "2"]
    names = {path.rpartition("/")[2] for path in paths}
    assert names == set(re.findall(r"[\w-]+\.root", listed))
    assert {path.name for path in client.home.glob("*.root")} == names
    assert all(name in fetched for name in names)
    assert request_id in cached
    assert "a coroutine was expected" in deleted  # the client's own mistake, after it was done
    assert request_id not in transforms(service)
    # A sample that was deleted is made again, and has another id.
    assert request_id not in deliver(client, nanoaod_files[:2], title)[0]


def test_codegens_are_listed(client):
    found = json.loads(client.command("codegen", "list"))
    assert {"uproot", "uproot-raw", "python", "tcut", "skyhook"} <= set(found)
    assert not {"topcp", "cms"} & set(found)


def test_datasets_are_listed_shown_and_deleted(service, client, nanoaod_files):
    paths = list(map(str, nanoaod_files[2:4]))
    deliver(client, nanoaod_files[2:4])
    number = str(ask(service, "datasets")["datasets"][0]["id"])  # the last that was used
    before, shown, _, after, every = run_commands(
        client,
        ["datasets", "list", "--did-finder", "user"],
        ["datasets", "get", number],
        ["datasets", "delete", number],
        ["datasets", "list"],
        ["datasets", "list", "--show-deleted"],
    )
    known = re.compile(rf"^\s*{number}\s+File list\s+2\s.*$", re.MULTILINE)
    assert "Yes" not in known.findall(before)[0]
    files = json.loads(shown)["dataset"]["files"]
    assert [path for file in files for path in file["paths"]] == paths
    assert known.findall(after) == []
    assert known.findall(every)[0].rstrip().endswith("Yes")


def test_the_clients_cache_is_used_and_cleared(service, client, nanoaod_files):
    first = deliver(client, nanoaod_files[:1])
    before = transforms(service)
    assert deliver(client, nanoaod_files[:1]) == first
    assert transforms(service) == before
    cleared, listed = run_commands(client, ["cache", "clear", "-y"], ["cache", "list"])
    assert "cleared" in cleared
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", listed)
    # The service has the answer already, and gives it at once under the same id.
    assert deliver(client, nanoaod_files[:1]) == first
    assert transforms(service) == before


def test_a_transform_that_is_canceled_ends_for_who_waits_for_it(client, nanoaod_files):
    found = client.run(
        TRANSFORM
        + """
def run_query(path):
    import time
    time.sleep(600)

async def main():
    waiting = asyncio.create_task(get([sample("endless", python(run_query))], None))
    sx = ServiceXClient()
    while True:
        ids = [item.request_id for item in await sx.get_transforms_async()
               if item.title == "endless" and item.status == "Running"]
        if ids:
            break
        await asyncio.sleep(0.5)
    await asyncio.to_thread(sx.cancel_transform, ids[0])
    told = await waiting
    status = await sx.get_transform_status_async(ids[0])
    tell([told["endless"], status.status])

asyncio.run(main())
""",
        files=nanoaod_files[:1],
    )
    assert "was canceled" in found[0]
    assert found[1] == "Canceled"


def test_urls_of_a_transform_that_is_gone_fail_and_do_not_hang(client, nanoaod_files):
    found: list[Any] = client.run(
        TRANSFORM
        + """
async def urls(**options):
    return (await get([sample("gone")], None, general={"Delivery": "URLs", **options}))["gone"]

async def main():
    await get([sample("gone")], None, general={"IgnoreLocalCache": False})
    sx = ServiceXClient()
    (one,) = [item for item in await sx.get_transforms_async() if item.title == "gone"]
    await asyncio.to_thread(sx.delete_transform, one.request_id)
    tell([await urls(IgnoreLocalCache=False), await urls()])

asyncio.run(main())
""",
        files=nanoaod_files[3:],
    )
    assert isinstance(found[0], str)
    assert found[1][0].startswith("http://127.0.0.1:")


def test_a_client_with_a_token_works_where_none_is_asked_for(service, client, nanoaod_files):
    text = service.client_file.replace("name: sxdask\n", "name: sxdask\n    token: any\n", 1)
    client.configure(text.replace(service.url, f"{service.url}/"))  # and //servicex is one slash
    assert len(deliver(client, nanoaod_files[:1])) == 1


def test_a_title_that_is_too_long_is_said_by_the_client(client, nanoaod_files):
    with pytest.raises(AssertionError, match="too long"):
        deliver(client, nanoaod_files[:1], "x" * 10_241)
    assert len(deliver(client, nanoaod_files[:1], "y" * 10_240)) == 1


def test_the_first_deliver_of_the_documentation_works(client, nanoaod_files):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "service.md"
    (block,) = re.findall(r"^```py\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    code = block.replace("/home/me/ntuples/nano.root", str(nanoaod_files[0]))
    found = client.run(code + "\ntell([str(item) for item in deliver(spec)['muons']])\n")
    assert [Path(item).suffix for item in found] == [".root"]
