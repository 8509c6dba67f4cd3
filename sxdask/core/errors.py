"""The error tree: everything sxdask means to raise, with a stable code each.

Drawn once so that a reader sees all of it::

    SxdaskError                SX000  system
      RequestError             SX100  user     what was asked cannot be answered
        UnknownBranchError     SX101  user     no such branch (close names in the hint)
        SelectionSyntaxError   SX102  user     text is not part of the language
        SelectionTypeError     SX103  user     types or list depths do not fit
        RequestTooLargeError   SX104  user     text, nesting or file count over a limit
        UnknownLanguageError   SX105  user     no such request language, sink, format, ...
        RecipeError            SX106  user     a recipe or request file is malformed
        UnreadableBranchError  SX107  user     the branch exists and cannot become an array
        UserFunctionError      SX108  user     a Python function of the request fails
        NotAuthorizedError     SX109  user     a server refuses the token or the ticket
      DatasetError             SX200  user     a dataset name leads to no usable files
        FileMissingError       SX201  user     no such file
        EmptyDatasetError      SX202  user     the pattern matches nothing
        NotRootFileError       SX203  data     the file is not a ROOT file
        UnknownTreeError       SX204  user     no such tree (those that exist in the hint)
        AccessDeniedError      SX205  system   the file or directory may not be read
      DataError                SX300  data     bytes are not what they should be
        TruncatedFileError     SX301  data     the file ends before a basket does
        CorruptBasketError     SX302  data     a basket cannot be decompressed or decoded
        StaleIndexError        SX303  data     the file changed after it was indexed
        SchemaMismatchError    SX304  data     files of one dataset disagree about a branch
      SystemFaultError         SX400  system   storage, network or scheduler failed
        ReadFailedError        SX401  system   bytes could not be fetched
        DeliveryError          SX402  system   results could not be written
        PartitionFailedError   SX403  data     one or more partitions failed
        MissingExtraError      SX404  system   an optional dependency is not installed
        ClusterError           SX405  system   no cluster, or no workers, within the stated time
        VersionMismatchError   SX406  system   client, scheduler or workers run other versions
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Fault: TypeAlias = Literal["user", "data", "system"]


def close_names(name: str, available: Iterable[str], *, most: int = 3) -> str | None:
    """Return a hint that names the closest of `available`, or None."""
    choices = list(available)
    folded = {choice.lower(): choice for choice in reversed(choices)}
    close = get_close_matches(name.lower(), folded, n=most, cutoff=0.6)
    if not close:
        return None
    return f"did you mean {', '.join(repr(folded[item]) for item in close)}?"


def _cut(line: str, most: int) -> str:
    """Return `line` without its middle if it is too long to be read: names have any length."""
    return line if len(line) <= most else f"{line[: most - 105]} ... {line[-100:]}"


def _rebuild(
    kind: type[SxdaskError], problem: str, hint: str | None, context: dict[str, Any]
) -> SxdaskError:
    error = kind.__new__(kind)
    SxdaskError.__init__(error, problem, hint=hint, **context)
    return error


class SxdaskError(Exception):
    """Root of the tree; catch this to catch everything sxdask means to raise."""

    code: ClassVar[str] = "SX000"
    fault: ClassVar[Fault] = "system"

    def __init__(self, problem: str, *, hint: str | None = None, **context: Any) -> None:
        problem = "\n".join(_cut(line, 390) for line in problem.split("\n"))
        super().__init__(problem)
        self.problem = problem
        self.hint = hint if hint is None else _cut(hint, 1_000)
        self.context = context

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException pickles positional args only; keep hint and context too.
        return _rebuild, (type(self), self.problem, self.hint, self.context)

    def __str__(self) -> str:
        text = f"[{self.code}] {self.problem}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text

    def add(self, **context: Any) -> Self:
        """Add facts (file, tree, branch, entry range) that an outer caller knows."""
        for key, value in context.items():
            self.context.setdefault(key, value)
        return self


class RequestError(SxdaskError):
    """What was asked cannot be answered as it stands."""

    code = "SX100"
    fault: ClassVar[Fault] = "user"


class UnknownBranchError(RequestError):
    """A request names a branch that the tree does not have."""

    code = "SX101"

    @classmethod
    def among(cls, name: str, available: Iterable[str], *, tree: str, **context: Any) -> Self:
        """Build the error with the closest real branch names as the hint."""
        return cls(
            f"tree {tree!r} has no branch {name!r}",
            hint=close_names(name, available),
            tree=tree,
            branch=name,
            **context,
        )


class SelectionSyntaxError(RequestError):
    """Selection text that is not part of its language, with the place."""

    code = "SX102"

    @classmethod
    def at(cls, text: str, column: int, problem: str, *, hint: str | None = None) -> Self:
        """Point at `column` (0-based) of `text`, which may have several lines."""
        return cls(f"{problem}\n{pointer(text, column)}", hint=hint, text=text[:200], column=column)


class SelectionTypeError(RequestError):
    """Types or list depths in a selection do not fit together."""

    code = "SX103"

    @classmethod
    def at(cls, text: str, column: int, problem: str, *, hint: str | None = None) -> Self:
        """Point at `column` (0-based) of `text`."""
        return cls(f"{problem}\n{pointer(text, column)}", hint=hint, text=text[:200], column=column)


class RequestTooLargeError(RequestError):
    """Text, nesting depth, file count or plan depth beyond a stated limit."""

    code = "SX104"


class UnknownLanguageError(RequestError):
    """No plug-in of that name: language, finder, sink, format or backend."""

    code = "SX105"


class RecipeError(RequestError):
    """A recipe or request file is malformed."""

    code = "SX106"


class UnreadableBranchError(RequestError):
    """The branch exists but its type cannot become an array."""

    code = "SX107"


class UserFunctionError(RequestError):
    """A Python function of the request raises, or returns what is no result."""

    code = "SX108"


class NotAuthorizedError(RequestError):
    """A server does not know the caller's token, or the ticket is not the caller's."""

    code = "SX109"


class DatasetError(SxdaskError):
    """A dataset name leads to no usable files."""

    code = "SX200"
    fault: ClassVar[Fault] = "user"


class FileMissingError(DatasetError):
    """A file that was named does not exist."""

    code = "SX201"


class EmptyDatasetError(DatasetError):
    """A pattern, directory or list leads to no file at all."""

    code = "SX202"


class NotRootFileError(DatasetError):
    """The file exists and is not a ROOT file."""

    code = "SX203"
    fault: ClassVar[Fault] = "data"


class UnknownTreeError(DatasetError):
    """The file has no tree of that name."""

    code = "SX204"

    @classmethod
    def among(cls, tree: str | None, available: Iterable[str], *, file: str) -> Self:
        """Build the error with the trees that the file does have."""
        trees = list(available)
        listed = f"it has {', '.join(map(repr, trees[:20]))}" if trees else "it has no tree at all"
        if tree is None:
            problem = f"file {file!r} has more than one tree" if trees else f"no tree in {file!r}"
            hint = f"{listed}; name one with tree=" if trees else "leave the file out"
            return cls(problem, hint=hint, file=file)
        return cls(f"file {file!r} has no tree {tree!r}", hint=listed, file=file, tree=tree)


class AccessDeniedError(DatasetError):
    """The file or directory exists and may not be read."""

    code = "SX205"
    fault: ClassVar[Fault] = "system"


class DataError(SxdaskError):
    """Bytes are not what the file format says they should be."""

    code = "SX300"
    fault: ClassVar[Fault] = "data"


class TruncatedFileError(DataError):
    """The file ends before the data that its directory promises."""

    code = "SX301"


class CorruptBasketError(DataError):
    """A basket cannot be decompressed or decoded."""

    code = "SX302"


class StaleIndexError(DataError):
    """The file was replaced or changed after it was indexed."""

    code = "SX303"


class SchemaMismatchError(DataError):
    """Files of one dataset disagree about a branch that the request needs."""

    code = "SX304"


class SystemFaultError(SxdaskError):
    """Storage, network or scheduler failed."""

    code = "SX400"


class ReadFailedError(SystemFaultError):
    """Bytes could not be fetched from the storage."""

    code = "SX401"


class DeliveryError(SystemFaultError):
    """Results could not be written to their destination."""

    code = "SX402"


class PartitionFailedError(SystemFaultError):
    """One or more partitions of a run failed; the causes are in the message."""

    code = "SX403"
    fault: ClassVar[Fault] = "data"


class MissingExtraError(SystemFaultError):
    """An optional dependency is needed and not installed."""

    code = "SX404"


class ClusterError(SystemFaultError):
    """A cluster cannot be had or has no workers, within the time that was stated."""

    code = "SX405"


class VersionMismatchError(ClusterError):
    """Client, scheduler and workers do not run the same versions."""

    code = "SX406"


def pointer(text: str, column: int) -> str:
    """Return the line of `text` that holds `column` with a caret under it."""
    column = max(0, min(column, len(text)))
    begin = text.rfind("\n", 0, column) + 1
    end = text.find("\n", column)
    line = text[begin : end if end >= 0 else len(text)]
    offset = column - begin
    if len(line) > 100:  # a window around the mistake, so that one line stays one line
        left = max(0, offset - 50)
        line, offset = line[left : left + 100], offset - left
    # one line stays one line, and sets no colours on a terminal
    line = "".join(sign if sign.isprintable() else " " for sign in line)
    return f"{line}\n{' ' * offset}^"
