"""What AWS and its library say when something fails, as typed errors.

Imports the library: import this module only where its clients are used.
"""

from __future__ import annotations

from boto3.exceptions import Boto3Error
from botocore import exceptions
from s3transfer.exceptions import RetriesExceededError
from urllib3.exceptions import HTTPError

from juliabox_ext.errors import (
    ConfigurationError,
    JuliaBoxError,
    NoRoomError,
    NotFoundError,
    PolicyError,
    UnavailableError,
)

#: Error codes of AWS, by what a person does about them. HTTP statuses stand for HEAD requests,
#: whose answers have no code.
ABSENT = frozenset({
    "404", "NoSuchBucket", "NoSuchKey", "NotFound", "NoSuchHostedZone",
    "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed",
})  # fmt: skip
CREDENTIALS = frozenset({
    "AuthFailure", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId",
    "InvalidClientTokenId", "InvalidToken", "RequestExpired", "RequestTimeTooSkewed",
    "SignatureDoesNotMatch", "TokenRefreshRequired", "UnrecognizedClientException",
})  # fmt: skip
BUSY = frozenset({
    "BandwidthLimitExceeded", "EC2ThrottledException", "InternalError", "InternalFailure",
    "PreconditionFailed", "PriorRequestNotComplete", "RequestLimitExceeded", "RequestThrottled",
    "RequestThrottledException", "RequestTimeout", "RequestTimeoutException",
    "ScalingActivityInProgress", "ServiceUnavailable", "SlowDown", "Throttling",
    "ThrottlingException", "ThrottledException", "TooManyRequestsException",
})  # fmt: skip
QUOTA = frozenset({
    "LimitExceeded", "LimitExceededException", "QuotaExceeded", "ServiceQuotaExceededException",
    "SendingPausedException", "TooManyBuckets",
})  # fmt: skip

REGION = frozenset(
    {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
)

#: Statuses of an answer that a later request may not get.
BUSY_STATUSES = frozenset({429, 500, 502, 503, 504})

KEYLESS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
)
NO_ANSWER = (exceptions.BotoCoreError, Boto3Error, RetriesExceededError, HTTPError)


def typed(error: Exception, plugin: str, what: str) -> JuliaBoxError | None:
    """Return the typed error of a fault of the library; None for any other.

    ``what`` is what AWS was to do, such as ``list bucket backups``.
    """
    begin, settings = f"plugin {plugin}: AWS cannot {what}", f"plugins.settings.{plugin}"
    if isinstance(error, exceptions.ClientError):
        return _answer(error, begin, settings)
    if isinstance(error, KEYLESS):
        return ConfigurationError(
            f"{begin}: {error}. Give the machine a role, or set access_key_id and "
            f"secret_access_key in {settings}",
            code="aws.credentials",
        )
    if isinstance(error, exceptions.NoRegionError):
        return ConfigurationError(
            f"{begin}: no region is known. Set region in {settings}", code="aws.region"
        )
    if isinstance(error, exceptions.ParamValidationError):
        return PolicyError(f"{begin}: {_line(str(error))}", code="aws.refused")
    if isinstance(error, NO_ANSWER):
        return UnavailableError(
            f"{begin}: no answer, or half of one: {_line(str(error))}. Try again; see that this "
            "machine reaches it",
            code="aws.unreachable",
        )
    return None


def _answer(error: exceptions.ClientError, begin: str, settings: str) -> JuliaBoxError:
    found = error.response.get("Error", {})
    code, said = str(found.get("Code", "")), _line(str(found.get("Message", "")))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    words = f"{begin}: {code} {said}".rstrip().removesuffix(".")
    if code in ABSENT:
        return NotFoundError(f"{words}. It does not exist", code="aws.absent")
    if code in QUOTA:
        return NoRoomError(f"{words}. Wait, or ask AWS to raise the quota", code="aws.quota")
    if code in BUSY or status in BUSY_STATUSES:
        return UnavailableError(f"{words}. AWS is busy; try again later", code="aws.busy")
    return _refusal(code, status, words, settings)


def _refusal(code: str, status: int, words: str, settings: str) -> JuliaBoxError:
    """Return the error of a request that would be refused again."""
    if code in CREDENTIALS:
        return ConfigurationError(
            f"{words}. Renew the keys in {settings} or the machine's role, and see that its clock "
            "is right",
            code="aws.credentials",
        )
    if code in REGION:
        return ConfigurationError(f"{words}. Set the right region in {settings}", code="aws.region")
    if status in (401, 403):
        return PolicyError(
            f"{words}. Give the keys or the role the right to do so", code="aws.denied"
        )
    return PolicyError(f"{words}. AWS refuses this request", code="aws.refused")


def _line(text: str) -> str:
    """Return foreign words on one short line."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:300]
