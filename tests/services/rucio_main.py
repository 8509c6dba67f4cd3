"""A Rucio server on SQLite: this runs in an environment of its own, where Rucio's server is.

``python rucio_main.py FOLDER PORT`` makes the database, with the account ``root``, and serves
the REST interface until it is ended. The configuration is ``FOLDER/rucio.cfg``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(folder: Path, port: int) -> None:
    """Make the database and serve."""
    os.environ["RUCIO_CONFIG"] = str(folder / "rucio.cfg")
    from rucio.db.sqla import models
    from rucio.db.sqla.session import get_engine
    from rucio.db.sqla.util import create_base_vo, create_root_account
    from rucio.web.rest.flaskapi.v1.main import application
    from werkzeug.serving import make_server

    models.register_models(get_engine())
    create_base_vo()
    create_root_account()
    make_server("127.0.0.1", port, application, threaded=True).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
