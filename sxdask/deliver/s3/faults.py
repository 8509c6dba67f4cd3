"""What an S3 request can end with, as errors of ours: one line, no credential in it."""

from __future__ import annotations

from typing import Any

from sxdask.core.errors import AccessDeniedError, DeliveryError, RequestError, SxdaskError

# Codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_DENIED = {
    "401",
    "403",
    "AccessDenied",
    "AllAccessDisabled",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_ABSENT = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}
_NO_BUCKET = {"InvalidBucketName", "NoSuchBucket"}
# Of botocore.exceptions: there are no credentials, or they cannot be had.
_NO_CREDENTIALS = {
    "CredentialRetrievalError",
    "InvalidConfigError",
    "NoAuthTokenError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
}
_CREDENTIALS_HINT = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE,"
    " of this process and of the workers, and what they may do in the bucket"
)


def code_of(error: BaseException) -> str:
    """Return the error code of an answer of S3, or an empty text."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return ""
    return str(response.get("Error", {}).get("Code", ""))


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an answer of S3, or 0."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return 0
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_absent(error: BaseException) -> bool:
    """Tell whether there is no such object or upload, in a bucket that may be there."""
    return code_of(error) in _ABSENT


def is_denied(error: BaseException) -> bool:
    """Tell whether credentials are missing, wrong, or may not do this."""
    return code_of(error) in _DENIED or type(error).__name__ in _NO_CREDENTIALS


def is_final(error: BaseException) -> bool:
    """Tell whether another try cannot end otherwise: refusals, and requests that make no sense."""
    if is_denied(error) or code_of(error) in _NO_BUCKET or is_absent(error):
        return True
    # A torn or damaged upload is answered with BadDigest, IncompleteBody or RequestTimeout.
    torn = {"BadDigest", "IncompleteBody", "RequestTimeout", "XAmzContentSHA256Mismatch"}
    return 400 <= status_of(error) < 500 and status_of(error) != 429 and code_of(error) not in torn


def problem_of(error: BaseException, location: str, bucket: str, endpoint: str) -> SxdaskError:
    """Return the error of our tree for `error`, which a request to `location` ended with."""
    context: dict[str, Any] = {"file": location, "endpoint": endpoint}
    if isinstance(error, SxdaskError):
        return error.add(**context)
    code = code_of(error)
    if code in _NO_BUCKET:
        return RequestError(
            f"there is no bucket {bucket!r} at {endpoint}",
            hint="make the bucket, or check its name, AWS_ENDPOINT_URL and the region",
            **context,
        )
    if is_denied(error):
        reason = code or _words(error)
        return AccessDeniedError(
            f"{location!r} may not be written or read: S3 says {reason}",
            hint=_CREDENTIALS_HINT,
            **context,
        )
    if isinstance(error, TimeoutError):
        return DeliveryError(
            f"{location!r}: {endpoint} does not answer in time",
            hint="try again, or allow it more seconds: "
            "storage_options={'config_kwargs': {'read_timeout': ...}}",
            **context,
        )
    return DeliveryError(f"{location!r}: {_words(error)}", **context)


def _words(error: BaseException) -> str:
    """Return what happened in a few words; botocore's sentences name the operation."""
    text = " ".join(str(error).split())
    return text if code_of(error) and text else f"{type(error).__name__}: {text}".rstrip(": ")
