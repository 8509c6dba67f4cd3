# Configuration of dask-gateway-server for one machine: schedulers and workers are processes.
#
#   SXDASK_GATEWAY_DIR=/srv/gateway SXDASK_GATEWAY_PASSWORD_FILE=/srv/gateway.password \
#       dask-gateway-server -f cluster/gateway/dask_gateway_config.py
#
# README.md in this folder has the variables. Reference: https://gateway.dask.org/api-server.html
import base64
import os
import sys
from pathlib import Path

from dask_gateway_server.options import Float, Integer, Mapping, Options


def number(name, default):
    return int(os.environ.get(f"SXDASK_GATEWAY_{name}", default))


def kept_secret(path):
    """Return the key in a file of this folder, made once and readable by nobody else."""
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(32)))
    return path.read_text().strip()


def options(user):
    """What users may choose; sxdask maps the resources of a request to these names."""

    def configure(chosen):
        return {
            "worker_cores": chosen.worker_cores,
            "worker_memory": f"{chosen.worker_memory:f} G",
            "environment": chosen.environment,
        }

    return Options(
        Integer("worker_cores", 1, min=1, max=number("MAX_CORES", os.cpu_count() or 1)),
        Float("worker_memory", 2.0, min=0.25, max=float(number("MAX_MEMORY_GIB", 16))),
        Mapping("environment", {}),
        handler=configure,
    )


folder = Path(os.environ["SXDASK_GATEWAY_DIR"]).absolute()
folder.mkdir(mode=0o700, parents=True, exist_ok=True)
port = number("PORT", 8000)
password_file = os.environ.get("SXDASK_GATEWAY_PASSWORD_FILE", "")
password = Path(password_file).read_text().strip() if password_file else ""
if not password:
    sys.exit("SXDASK_GATEWAY_PASSWORD_FILE names no file with a password")

c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
# One password for every user name. At a facility take JupyterHubAuthenticator instead.
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = password
c.DaskGateway.address = f"127.0.0.1:{number('API_PORT', port + 1)}"
c.Proxy.address = f"127.0.0.1:{port}"

# A server that is started again takes its clusters over: they go on while it is away, and
# their certificates are in the database, encrypted with a key that has to outlive the server.
c.UnsafeLocalBackend.clusters_directory = str(folder / "clusters")
c.UnsafeLocalBackend.db_url = f"sqlite:///{folder}/gateway.sqlite"
c.UnsafeLocalBackend.db_encrypt_keys = [kept_secret(folder / "database.key")]
c.UnsafeLocalBackend.stop_clusters_on_shutdown = False
c.UnsafeLocalBackend.cluster_status_period = 10
c.UnsafeLocalBackend.cluster_heartbeat_period = 5
# Workers find credentials by these names; their values never pass through the gateway.
c.UnsafeLocalBackend.inherited_environment = [
    *("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "HOME", "X509_CERT_DIR"),
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"),
]

programs = Path(sys.executable).parent  # of the same environment as the server
c.ClusterConfig.scheduler_cmd = str(programs / "dask-scheduler")
c.ClusterConfig.worker_cmd = str(programs / "dask-worker")
c.ClusterConfig.adaptive_period = 1.0
c.ClusterConfig.idle_timeout = number("IDLE_S", 1800)
c.ClusterConfig.scheduler_memory = "2 G"
c.ClusterConfig.scheduler_cores = 1
c.ClusterConfig.cluster_max_workers = number("MAX_WORKERS", 20)
c.UserLimits.max_clusters = number("MAX_CLUSTERS", 4)

c.Backend.cluster_options = options
