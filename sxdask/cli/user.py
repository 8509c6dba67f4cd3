"""``sxdask user``: who may use a service with authentication, and tokens for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sxdask.core.errors import RequestError, close_names

if TYPE_CHECKING:
    from sxdask.service.auth.tokens import Tokens
    from sxdask.service.database.users import User, Users

app = typer.Typer(
    no_args_is_help=True,
    help="Users of a service: the first administrator, approval, tokens.",
)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings of the service (YAML).")
]
FolderOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Database and keys of the service.")
]
NameArgument = Annotated[str, typer.Argument(help="Subject or e-mail address of the user.")]


@dataclass(frozen=True)
class _Desk:
    """What these commands work on."""

    users: Users
    tokens: Tokens


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the login says who it is, or any name.")],
    email: Annotated[str, typer.Option("--email", help="For approval by address.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="Let the user administrate.")] = False,
    pending: Annotated[
        bool, typer.Option("--pending", help="Wait for approval, as after a login.")
    ] = False,
    config: ConfigOption = None,
    data_dir: FolderOption = None,
) -> None:
    """Add a user; the service may be running."""
    with _desk(config, data_dir) as desk:
        made = desk.users.add(name, admin=admin, pending=pending, email=email, name=name)
    typer.echo(_line(made))


@app.command()
def approve(name: NameArgument, config: ConfigOption = None, data_dir: FolderOption = None) -> None:
    """Let a user in."""
    with _desk(config, data_dir) as desk:
        found = _user(desk.users, name)
        desk.users.approve(found.id)
    typer.echo(f"{found.subject} may use the service")


@app.command()
def remove(name: NameArgument, config: ConfigOption = None, data_dir: FolderOption = None) -> None:
    """Remove a user, whose tokens end with it; transforms stay for administrators."""
    with _desk(config, data_dir) as desk:
        found = _user(desk.users, name)
        desk.users.remove(found.id)
    typer.echo(f"{found.subject} is removed")


@app.command(name="list")
def list_all(config: ConfigOption = None, data_dir: FolderOption = None) -> None:
    """Print the users, a line each."""
    with _desk(config, data_dir) as desk:
        for found in desk.users.all():
            typer.echo(_line(found))


@app.command()
def token(
    name: NameArgument,
    access: Annotated[
        bool,
        typer.Option(
            "--access", help="A token for requests, which ends, as BEARER_TOKEN_FILE wants it."
        ),
    ] = False,
    hours: Annotated[
        float, typer.Option("--hours", min=0.01, help="How long an access token is good.")
    ] = 6.0,
    renew: Annotated[
        bool, typer.Option("--renew", help="Make all tokens that are out worthless first.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Write it here, for its owner alone, and do not print it."),
    ] = None,
    config: ConfigOption = None,
    data_dir: FolderOption = None,
) -> None:
    """Print a user's token: for ``token:`` of servicex.yaml, or with --access for requests."""
    with _desk(config, data_dir) as desk:
        found = _user(desk.users, name)
        token_id = desk.users.renew_token(found.id) if renew else found.token_id
        made = (
            desk.tokens.access(found.id, round(hours * 3600), parent=token_id)
            if access
            else desk.tokens.refresh(found.id, token_id)
        )
    if file is None:
        typer.echo(made)
        return
    from sxdask.service.objects.keys import write_private

    write_private(file, f"{made}\n")
    typer.echo(f"the token of {found.subject} is in {file}", err=True)


@contextmanager
def _desk(config: Path | None, data_dir: Path | None) -> Iterator[_Desk]:
    """Give users and tokens of the service with these settings."""
    try:
        from sxdask.service.auth.tokens import Tokens
        from sxdask.service.database.connect import open_database
        from sxdask.service.database.migrate import upgrade
        from sxdask.service.database.users import Users
        from sxdask.service.from_settings import database_url
        from sxdask.service.objects.keys import kept_secret, private_folder
        from sxdask.service.settings import load_service_settings
    except ImportError as error:
        from sxdask.service.from_settings import missing_extra

        raise missing_extra(error) from error
    settings = load_service_settings(config, data_dir=data_dir)
    folder = private_folder(settings.data_dir)
    secret = settings.secret("token_secret") or kept_secret(folder / "token-secret")
    database = open_database(database_url(settings))
    try:
        upgrade(database)
        yield _Desk(Users(database), Tokens(secret.encode()))
    finally:
        database.dispose()


def _user(users: Users, name: str) -> User:
    found = users.by_subject(name) or users.by_email(name)
    if found is None:
        known = [item.subject for item in users.all()]
        raise RequestError(
            f"there is no user {name!r}",
            hint=close_names(name, known) or "see them with: sxdask user list",
        )
    return found


def _line(user: User) -> str:
    words = [f"{user.id:>4}", user.subject, user.email or "-"]
    words += ["administrator"] if user.admin else []
    words += ["waits for approval"] if user.pending else []
    return "  ".join(words)
