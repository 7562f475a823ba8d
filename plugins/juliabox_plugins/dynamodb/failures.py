"""Errors of DynamoDB and boto, told as those of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from juliabox_ext import db_failures
from juliabox_ext.errors import JuliaBoxError

Verdict = Callable[[str, str], JuliaBoxError]

#: Word in a code of the service -> verdict; the first that is found counts.
_CODES: dict[str, Verdict] = {
    "AccessDenied": db_failures.denied,
    "UnrecognizedClient": db_failures.denied,
    "InvalidClientTokenId": db_failures.denied,
    "InvalidSignature": db_failures.denied,
    "SignatureDoesNotMatch": db_failures.denied,
    "MissingAuthentication": db_failures.denied,
    "IncompleteSignature": db_failures.denied,
    "ExpiredToken": db_failures.denied,
    "SubscriptionRequired": db_failures.denied,
    "Throttl": db_failures.slow,
    "ThroughputExceeded": db_failures.slow,
    "RequestLimitExceeded": db_failures.slow,
    "LimitExceeded": db_failures.full,
    "Validation": db_failures.invalid,
    "ResourceInUse": db_failures.locked,
    "TransactionConflict": db_failures.locked,
    "InternalServer": db_failures.down,
    "ServiceUnavailable": db_failures.down,
}


def code_of(error: Exception) -> str:
    """Return the service's code of an error; empty if it is none of the service's."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def demand(error: Exception, *words: str) -> None:
    """Raise an error again unless its code has one of some words."""
    if not any(word in code_of(error) for word in words):
        raise error


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise the contract's errors, which name the database, for those of the library within."""
    try:
        yield
    except JuliaBoxError:
        raise
    except Exception as error:
        found = verdict(error)
        if found is None:
            raise
        raise found(name, str(error).rstrip(".")) from error


def verdict(error: Exception) -> Verdict | None:
    """Return what an error means; None if it is none of the library's."""
    code = code_of(error)
    if not code:
        return _without_an_answer(error)
    for word, told in _CODES.items():
        if word in code:
            return told
    status = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return db_failures.down if status >= 500 else db_failures.unforeseen


def _without_an_answer(error: Exception) -> Verdict | None:
    from botocore import exceptions  # noqa: PLC0415  # takes memory, and is only there once used

    kinds: tuple[tuple[type[Exception], Verdict], ...] = (
        (exceptions.ConnectTimeoutError, db_failures.slow),
        (exceptions.ReadTimeoutError, db_failures.slow),
        (exceptions.HTTPClientError, db_failures.down),
        (exceptions.ConnectionError, db_failures.down),
        (exceptions.NoCredentialsError, db_failures.denied),
        (exceptions.PartialCredentialsError, db_failures.denied),
        (exceptions.CredentialRetrievalError, db_failures.denied),
        (exceptions.ParamValidationError, db_failures.invalid),
        (exceptions.BotoCoreError, db_failures.unforeseen),
    )
    return next((told for kind, told in kinds if isinstance(error, kind)), None)
