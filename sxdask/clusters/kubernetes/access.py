"""Talk to the API server: a few calls on plain JSON objects, with faults in one line."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kubernetes import client as kube
from kubernetes import config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from sxdask.core.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GROUP: Final = "kubernetes.dask.org"
_VERSION: Final = "v1"
_TIMEOUT_S: Final = (5, 20)  # to connect, to answer
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def in_cluster() -> bool:
    """Say whether this process runs in a pod that may ask the API server."""
    return (_ACCOUNT / "token").exists()


class Access:
    """The objects of one namespace.

    Parameters
    ----------
    namespace
        By default that of the pod that this runs in, or of the current context.

    Raises
    ------
    ClusterError
        If there is no configuration of a Kubernetes cluster.
    """

    def __init__(self, namespace: str | None = None) -> None:
        default = "default"
        settings = kube.Configuration()
        try:
            if in_cluster():
                config.load_incluster_config(client_configuration=settings)
                default = (_ACCOUNT / "namespace").read_text().strip()
            else:
                # The client looks at the variable only once, when it is imported.
                file = os.environ.get("KUBECONFIG") or "~/.kube/config"
                config.load_kube_config(file, client_configuration=settings)
                current = config.list_kube_config_contexts(file)[1]
                default = current["context"].get("namespace") or default
        except (config.ConfigException, OSError) as error:
            raise ClusterError(
                f"no Kubernetes cluster is configured: {str(error).strip()}",
                hint="set KUBECONFIG, or put the configuration in ~/.kube/config",
            ) from error
        settings.retries = False
        self.namespace = namespace or default
        self._client = kube.ApiClient(settings)
        self._host = settings.host
        self._core = kube.CoreV1Api(self._client)
        self._apps = kube.AppsV1Api(self._client)
        self._custom = kube.CustomObjectsApi(self._client)

    def close(self) -> None:
        """Close connections."""
        with suppress(AttributeError):  # versions of the client differ
            self._client.rest_client.pool_manager.clear()

    def create(self, plural: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object of the operator's kinds; return it as it is stored."""
        with self._faults(f"create {plural}"):
            made: dict[str, Any] = self._custom.create_namespaced_custom_object(
                GROUP, _VERSION, self.namespace, plural, body, _request_timeout=_TIMEOUT_S
            )
            return made

    def get(self, plural: str, name: str) -> dict[str, Any] | None:
        """Return an object of the operator's kinds, or None."""
        found: list[dict[str, Any]] = []
        with self._faults(f"get {plural}"), _none_if_missing():
            found.append(
                self._custom.get_namespaced_custom_object(
                    GROUP, _VERSION, self.namespace, plural, name, _request_timeout=_TIMEOUT_S
                )
            )
        return found[0] if found else None

    def all_of(self, plural: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of one of the operator's kinds."""
        with self._faults(f"list {plural}"):
            found = self._custom.list_namespaced_custom_object(
                GROUP,
                _VERSION,
                self.namespace,
                plural,
                label_selector=selector,
                _request_timeout=_TIMEOUT_S,
            )
            items: list[dict[str, Any]] = found["items"]
            return items

    def delete(self, plural: str, name: str) -> bool:
        """Delete an object and all that belongs to it; say whether it was there."""
        found = False
        with self._faults(f"delete {plural}"), _none_if_missing():
            self._custom.delete_namespaced_custom_object(
                GROUP,
                _VERSION,
                self.namespace,
                plural,
                name,
                propagation_policy="Background",
                _request_timeout=_TIMEOUT_S,
            )
            found = True
        return found  # noqa: RET504 - a missing object leaves the block before it is set

    def pods(self, selector: str) -> list[dict[str, Any]]:
        """Return the pods with these labels."""
        return self._items("pods", self._core.list_namespaced_pod, label_selector=selector)

    def deployments(self, selector: str) -> list[dict[str, Any]]:
        """Return the deployments with these labels."""
        list_them = self._apps.list_namespaced_deployment
        return self._items("deployments", list_them, label_selector=selector)

    def events(self) -> list[dict[str, Any]]:
        """Return the warnings of the namespace."""
        list_them = self._core.list_namespaced_event
        return self._items("events", list_them, field_selector="type=Warning")

    def owner(self, text: str) -> dict[str, Any]:
        """Return the object ``Kind/name``, one of Deployment, Pod and ConfigMap."""
        kind, _, name = text.partition("/")
        read = {
            "ConfigMap": self._core.read_namespaced_config_map,
            "Deployment": self._apps.read_namespaced_deployment,
            "Pod": self._core.read_namespaced_pod,
        }[kind]
        with self._faults(f"get {kind.lower()}s"):
            found = read(name, self.namespace, _request_timeout=_TIMEOUT_S)
            shown: dict[str, Any] = self._client.sanitize_for_serialization(found)
        version = "apps/v1" if kind == "Deployment" else "v1"
        return {**shown, "apiVersion": version, "kind": kind}

    def patch_secret(self, name: str, data: Mapping[str, bytes]) -> None:
        """Replace keys of a secret that is there."""
        encoded = {key: b64encode(value).decode() for key, value in data.items()}
        with self._faults("patch secrets"):
            self._core.patch_namespaced_secret(
                name, self.namespace, {"data": encoded}, _request_timeout=_TIMEOUT_S
            )

    def apply(self, body: dict[str, Any]) -> None:
        """Create an object of Kubernetes' own kinds, or change it to this."""
        from kubernetes.dynamic import DynamicClient

        kind = body["kind"]
        with self._faults(f"create {kind} objects"):
            found = DynamicClient(self._client).resources.get(
                api_version=body["apiVersion"], kind=kind
            )
            try:
                found.create(body=body, namespace=self.namespace)
            except ApiException as error:
                if error.status != 409:
                    raise
                found.patch(
                    body=body,
                    namespace=self.namespace,
                    content_type="application/merge-patch+json",
                )

    def remove_job(self, name: str) -> None:
        """Remove a job with its pods, if it is there."""
        with self._faults("delete jobs"), _none_if_missing():
            kube.BatchV1Api(self._client).delete_namespaced_job(
                name,
                self.namespace,
                propagation_policy="Background",
                _request_timeout=_TIMEOUT_S,
            )

    def last_line(self, pod: dict[str, Any], container: str) -> str:
        """Return the last line that a container of a pod has written."""
        with self._faults("get pods/log"):
            said: str = self._core.read_namespaced_pod_log(
                pod["metadata"]["name"],
                self.namespace,
                container=container,
                tail_lines=5,
                _request_timeout=_TIMEOUT_S,
            )
        return said.strip().rpartition("\n")[2][:300]

    def serves(self, api_version: str, kind: str) -> bool:
        """Say whether this Kubernetes knows objects of a kind."""
        from kubernetes.dynamic import DynamicClient
        from kubernetes.dynamic.exceptions import ResourceNotFoundError

        with self._faults("look at the API"):
            try:
                DynamicClient(self._client).resources.get(api_version=api_version, kind=kind)
            except ResourceNotFoundError:
                return False
        return True

    def _items(self, plural: str, list_them: Any, **options: Any) -> list[dict[str, Any]]:
        with self._faults(f"list {plural}"):
            found = list_them(self.namespace, _request_timeout=_TIMEOUT_S, **options)
            shown = self._client.sanitize_for_serialization(found)
            items: list[dict[str, Any]] = shown.get("items") or []
            return items

    @contextmanager
    def _faults(self, action: str) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            raise self._fault(error, action) from error
        except (HTTPError, OSError) as error:
            raise ClusterError(
                f"the API server of Kubernetes does not answer at {self._host}",
                hint="see whether it can be reached from here: kubectl cluster-info",
                server=self._host,
            ) from error

    def _fault(self, error: ApiException, action: str) -> ClusterError:
        said = _message(error)
        if error.status == 401:
            return ClusterError(
                "Kubernetes does not accept these credentials, or no longer",
                hint="log in again, as for kubectl",
            )
        if error.status == 403 and "exceeded quota" not in said:
            return ClusterError(
                f"Kubernetes does not let you {action} in namespace {self.namespace!r}: {said}",
                hint="ask an administrator for the role in docs/how-to/kubernetes.md, "
                "or choose another namespace",
            )
        if error.status == 404 and action.startswith("create dask"):
            return ClusterError(
                "this Kubernetes has no definition of Dask clusters",
                hint="install the operator: helm install --repo https://helm.dask.org "
                "--generate-name dask-kubernetes-operator",
            )
        return ClusterError(f"Kubernetes cannot {action}: {said} (status {error.status})")


@contextmanager
def _none_if_missing() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        if error.status != 404:
            raise


def _message(error: ApiException) -> str:
    """Return what the API server says, in one line."""
    try:
        text = str(json.loads(error.body)["message"])
    except (KeyError, TypeError, ValueError):
        text = str(error.reason or error.body or "")
    return text.strip().partition("\n")[0][:300]
