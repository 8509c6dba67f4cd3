"""Results in a folder that the service and all workers have mounted."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sxdask.deliver.local import faults
from sxdask.service.objects.names import require_flat, require_request_id
from sxdask.service.transforms.ports import ClientAccess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class VolumeObjects:
    """One folder a transform below `root`; see `sxdask.service.transforms.ports.ObjectStore`.

    Parameters
    ----------
    root
        An absolute path, the same on the service and on the workers.
    public_url
        What serves `root` to users, such as ``https://data.example.org/results``
        or ``root://door.example.org//results``. Without it they have it mounted.
    """

    def __init__(self, root: Path, *, public_url: str = "") -> None:
        self.root = Path(root).absolute()
        self.public_url = public_url.rstrip("/")

    def create(self, request_id: str) -> None:
        """Make the folder."""
        folder = self._folder(request_id)
        with faults(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)

    def target(self, request_id: str) -> str:
        """Return the folder's path."""
        return str(self._folder(request_id))

    def storage_options(self, *, here: bool = False) -> Mapping[str, object]:  # noqa: ARG002
        """Return nothing: a mounted folder takes no options."""
        return {}

    def sizes(self, request_id: str) -> Mapping[str, int]:
        """Return the bytes of the files in the folder; what is hidden is not published yet."""
        folder = self._folder(request_id)
        with faults(str(folder)):
            try:
                found = [item for item in folder.iterdir() if not item.name.startswith(".")]
            except FileNotFoundError:
                return {}
            return {item.name: item.stat().st_size for item in found if item.is_file()}

    def remove(self, request_id: str) -> None:
        """Remove the folder with all that is in it."""
        folder = self._folder(request_id)
        with faults(str(folder)):
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                if folder.exists():  # a worker removed a file at that moment
                    shutil.rmtree(folder, ignore_errors=True)

    def sign(self, request_id: str, names: Sequence[str], seconds: int) -> dict[str, str]:  # noqa: ARG002
        """Return the place of each object; who may read it is up to the file system."""
        base = self.public_url or self.root.as_uri()
        folder = require_request_id(request_id)
        return {name: f"{base}/{folder}/{quote(require_flat(name))}" for name in names}

    def describe(self) -> str:
        """Return where it is."""
        return str(self.root)

    def check(self) -> str:
        """Make a folder with a file and remove both; return how users get at results.

        Raises
        ------
        SxdaskError
            If one of these cannot be done.
        """
        request_id = str(uuid.uuid4())
        self.create(request_id)
        try:
            with faults(self.target(request_id)):
                (self._folder(request_id) / "check").write_bytes(b"sxdask")
            self.sizes(request_id)
        finally:
            self.remove(request_id)
        return f"users reach it at {self.public_url or 'the same path'}"

    def client_access(self) -> ClientAccess:
        """Return nothing that opens anything: there is no S3 here."""
        return ClientAccess("", secured=False, access_key="", secret_key="")

    def _folder(self, request_id: str) -> Path:
        return self.root / require_request_id(request_id)
