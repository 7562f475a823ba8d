"""Errors of DynamoDB and boto, told as those of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

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

_KINDS: tuple[tuple[type[BotoCoreError], Verdict], ...] = (
    (exceptions.ConnectTimeoutError, db_failures.slow),
    (exceptions.ReadTimeoutError, db_failures.slow),
    (exceptions.HTTPClientError, db_failures.down),
    (exceptions.ConnectionError, db_failures.down),
    (exceptions.NoCredentialsError, db_failures.denied),
    (exceptions.PartialCredentialsError, db_failures.denied),
    (exceptions.CredentialRetrievalError, db_failures.denied),
    (exceptions.NoRegionError, db_failures.denied),
    (exceptions.ParamValidationError, db_failures.invalid),
)


def code_of(error: ClientError) -> str:
    """Return the service's code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise the contract's errors, which name the database, for those of the library within."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise verdict(error)(name, str(error).rstrip(".")) from error


def verdict(error: ClientError | BotoCoreError) -> Verdict:
    """Return what an error of the library means."""
    if isinstance(error, BotoCoreError):
        fitting = (told for kind, told in _KINDS if isinstance(error, kind))
        return next(fitting, db_failures.unforeseen)
    for word, told in _CODES.items():
        if word in code_of(error):
            return told
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return db_failures.down if status >= 500 else db_failures.unforeseen
