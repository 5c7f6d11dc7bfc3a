"""Everything a caller can be told has gone wrong, as one tree of exceptions.

The class name is the error code on the wire, so a `raise` reads like the API's
documentation. A test compares every class with botocore's service model: its
name, HTTP status and whose fault it is. Whether the message travels under
`Message` or `message` is the model's business, decided in `api/render`.

A failure of the user's function is not here: it is an `Outcome`.
"""

from typing import ClassVar, Literal


class ApiError(Exception):
    """A failure the caller is told about. The class name is the error code on the wire."""

    status: ClassVar[int] = 400
    fault: ClassVar[Literal["User", "Service"]] = "User"
    has_type: bool = True
    """Whether the body carries `Type`. AWS leaves it out of front-end errors."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    @property
    def code(self) -> str:
        return type(self).__name__


class FrontEndError(ApiError):
    """Refused before any service saw it; such bodies carry no `Type`."""

    has_type = False


class ValidationException(FrontEndError):
    """A constraint of the service model is violated."""


class SerializationException(FrontEndError):
    """The body is not JSON, or a value in it has the wrong type."""


class InvalidSignatureException(FrontEndError):
    """The signature does not match what was signed, or has expired."""

    status = 403


class UnrecognizedClientException(FrontEndError):
    """The access key is not known."""

    status = 403


class AccessDeniedException(FrontEndError):
    """The caller may not do this, or asked for something of another account."""

    status = 403


class UnknownOperationException(FrontEndError):
    """No operation has this method and path."""

    status = 404


class RequestEntityTooLargeException(FrontEndError):
    """The body is larger than the operation accepts."""

    status = 413


class NotImplementedException(FrontEndError):
    """AWS has this operation and this release of lambdabox does not."""

    status = 501
    fault = "Service"


class InvalidParameterValueException(ApiError):
    """A rule of the service, beyond the model's constraints, is violated.

    AWS tells of a few without `Type`.
    """

    def __init__(self, message: str = "", *, has_type: bool = True) -> None:
        super().__init__(message)
        self.has_type = has_type


class CodeStorageExceededException(ApiError):
    """The account's code storage is full."""


class CodeSigningConfigNotFoundException(ApiError):
    """A function cannot have a code signing configuration that does not exist."""

    status = 404


class CodeVerificationFailedException(ApiError):
    """The code is not signed by an allowed publisher, and has to be."""


class InvalidCodeSignatureException(ApiError):
    """The code is not what its signature was made for."""


class InvalidRequestContentException(ApiError):
    """The payload of an invocation is not JSON."""


class PolicyLengthExceededException(ApiError):
    """A resource's policy would become too long."""


class RequestTooLargeException(ApiError):
    """The payload of an invocation is too large."""

    status = 413


class ResourceNotFoundException(ApiError):
    """The function, version, alias, log group or other resource does not exist."""

    status = 404


class ProvisionedConcurrencyConfigNotFoundException(ApiError):
    """The version or alias has no provisioned concurrency."""

    status = 404


class ResourceConflictException(ApiError):
    """The resource exists already, or its state does not allow this now."""

    status = 409


class ResourceInUseException(ApiError):
    """A change is being put into effect, and the resource takes no other meanwhile."""


class PreconditionFailedException(ApiError):
    """The given revision is not the latest."""

    status = 412


class TooManyRequestsException(ApiError):
    """A concurrency or rate limit is reached; `reason` says which."""

    status = 429

    def __init__(
        self, message: str, *, reason: str, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class RecursiveInvocationException(ApiError):
    """The function is part of a loop that would go on for ever."""


class SnapStartException(ApiError):
    """An after-restore hook failed, or the runtime ended while it was restored."""


class SnapStartTimeoutException(ApiError):
    """A restore, with its hooks, took longer than ten seconds."""

    status = 408


class KMSException(ApiError):
    """Environment variables cannot be encrypted or decrypted; a subclass says why."""

    status = 502
    fault = "Service"


class KMSAccessDeniedException(KMSException):
    """The key may not be used."""


class KMSInvalidStateException(KMSException):
    """The key cannot be used as it is, or what it encrypted is damaged."""


class KMSNotFoundException(KMSException):
    """The key is not there."""


class ServiceException(ApiError):
    """The platform failed. The message never tells more than the request id does."""

    status = 500
    fault = "Service"


class ResourceAlreadyExistsException(ApiError):
    """CloudWatch Logs: the group or stream exists already."""

    has_type = False


class LimitExceededException(ApiError):
    """CloudWatch Logs: the group has as many subscription filters as it may have."""

    has_type = False


class InvalidParameterException(ApiError):
    """CloudWatch Logs: a parameter is invalid."""

    has_type = False
