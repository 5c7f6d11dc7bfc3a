"""Who may pass to a route: a function of the API's owner decides, or a token does.

What a function answered is remembered under the identity that it was asked about, for as long
as the authorizer says; a policy among it is applied to each request anew. What cannot be
checked here is not let in.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import anyio.to_thread
import orjson

from lambdabox.auth import json_web_tokens
from lambdabox.auth.json_web_tokens import TokenError
from lambdabox.backends.key_sets import KeySetError, KeySets
from lambdabox.domain import token_claims
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.authorizers import (
    MAX_TTL_SECONDS,
    Answer,
    AnswerError,
    Authorized,
    Authorizer,
    AuthorizerKind,
    Identity,
    answer_of,
)
from lambdabox.domain.http_apis import ApiKind, filled_in
from lambdabox.domain.invocations import Invocation
from lambdabox.domain.log_regex import LogRegex, RegexError
from lambdabox.domain.policies import Effect
from lambdabox.domain.token_claims import ClaimError
from lambdabox.gateway.api_functions import ApiFunctions
from lambdabox.gateway.api_requests import ApiCall, context_1
from lambdabox.gateway.api_responses import Trouble, TroubleError
from lambdabox.gateway.authorizer_events import authorizer_event
from lambdabox.gateway.url_requests import query_parameters
from lambdabox.gateway.url_responses import parsed
from lambdabox.ports import Clock

REMEMBERED = 10_000
ANSWER_BYTES = 8_192
MAX_ARN = 10_240
"""As long as a request's head may be on AWS."""
SHORT_ARN = 250
_HTTP_SECONDS = 10.0
_REST_SECONDS = 29.0
_UNAUTHORIZED = "Unauthorized"
_OWN = ("CUSTOM", "JWT")
"""What routes want that are let in here."""

log = logging.getLogger(__name__)


class UnsupportedError(Exception):
    """A route wants something that is not checked here. The message says what."""


class ApiAuthorizers:
    def __init__(self, functions: ApiFunctions, keys: KeySets, clock: Clock) -> None:
        self._functions = functions
        self._keys = keys
        self._clock = clock
        self._known: dict[Any, tuple[Answer, float]] = {}

    async def authorize(self, asked: ApiCall) -> ApiCall:
        """Return the request with whom its route has let in.

        Raises TroubleError for somebody else, UnsupportedError for what is not checked.
        """
        route = asked.match.route
        if route.authorization == "NONE":
            return asked
        is_own = route.authorization in _OWN
        authorizer = route.authorizer if is_own else None
        if authorizer is None:
            if is_own:
                log.warning("API %s has no authorizer for %s", asked.api.id, route.key)
                raise TroubleError(Trouble.NO_ANSWER)
            raise UnsupportedError(f"Route {route.key!r} wants {route.authorization} authorization")
        identity = _identity(asked, self._clock.now()).values(authorizer.identity_sources)
        if authorizer.kind is AuthorizerKind.JWT:
            known = await self._check_token(asked, authorizer, identity)
        else:
            known = await self._ask(asked, authorizer, identity)
        return replace(asked, authorized=known)

    async def _ask(
        self, asked: ApiCall, authorizer: Authorizer, identity: tuple[str, ...] | None
    ) -> Authorized:
        """Have a function decide, unless it has."""
        if identity is None or not _fits(authorizer, identity):
            raise TroubleError(Trouble.UNAUTHORIZED)
        before = self._clock.monotonic()
        key = (asked.api.id, asked.stage.name, authorizer, identity)
        answer, until = self._known.get(key, (None, 0.0))
        if answer is None or before >= until:
            answer = await self._invoke(asked, authorizer, identity)
            self._remember(key, answer, authorizer)
        effect = await _effect(answer, asked)
        if effect is not Effect.ALLOW:
            is_explicit = effect is Effect.DENY
            raise TroubleError(Trouble.EXPLICITLY_DENIED if is_explicit else Trouble.DENIED)
        took = self._clock.monotonic() - before
        return Authorized(answer.principal, answer.context, latency_ms=int(took * 1000))

    def _remember(self, key: Any, answer: Answer, authorizer: Authorizer) -> None:
        # Without an identity everybody would be taken for the first.
        seconds = min(authorizer.ttl_seconds, MAX_TTL_SECONDS)
        if seconds <= 0 or not authorizer.identity_sources:
            return
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = (answer, self._clock.monotonic() + seconds)

    async def _invoke(
        self, asked: ApiCall, authorizer: Authorizer, identity: tuple[str, ...]
    ) -> Answer:
        is_rest = asked.api.kind is ApiKind.REST
        try:
            reference = await self._functions.find(
                asked.api,
                filled_in(authorizer.function_arn, asked.stage.variables),
                asked.api.authorizer_arn(authorizer),
                acts_in_role=authorizer.acts_in_role,
            )
            result = await self._result(reference, asked, authorizer, identity)
            return answer_of(result, authorizer, is_rest=is_rest)
        except AnswerError as exc:
            log.warning("what %s answered is no authorization: %s", authorizer.function_arn, exc)
            raise TroubleError(Trouble.NO_ANSWER) from None
        except TroubleError as exc:
            if exc.trouble is Trouble.UNAUTHORIZED:
                raise
            log.info("authorizer %s gave no answer: %s", authorizer.function_arn, exc)
            raise TroubleError(Trouble.NO_ANSWER) from None

    async def _result(
        self,
        reference: FunctionReference,
        asked: ApiCall,
        authorizer: Authorizer,
        identity: tuple[str, ...],
    ) -> Any:
        """Return what the function answered, from its JSON."""
        invocation = Invocation(
            request_id=str(uuid4()),
            invoked_arn=reference.arn,
            payload=authorizer_event(asked, authorizer, identity, self._clock.now()),
            trace=asked.trace,
        )
        seconds = _REST_SECONDS if asked.api.kind is ApiKind.REST else _HTTP_SECONDS
        outcome = await self._functions.invoke(reference, invocation, seconds)
        if len(outcome.payload) > ANSWER_BYTES:
            raise AnswerError(f"it is longer than {ANSWER_BYTES} bytes")
        try:
            result = parsed(outcome.payload)
            orjson.dumps(result)  # its context is to go into an event
        except (TypeError, ValueError, RecursionError):
            raise AnswerError("it is not JSON") from None
        if outcome.function_error is None:
            return result
        # The one failure that has a meaning.
        if isinstance(result, dict) and result.get("errorMessage") == _UNAUTHORIZED:
            raise TroubleError(Trouble.UNAUTHORIZED)
        raise AnswerError("the function failed")

    async def _check_token(
        self, asked: ApiCall, authorizer: Authorizer, identity: tuple[str, ...] | None
    ) -> Authorized:
        """Let in who has a token that the authorizer's issuer has signed."""
        if identity is None:
            raise TroubleError(Trouble.UNAUTHORIZED, [(b"www-authenticate", b"Bearer")])
        scopes = asked.match.route.scopes
        try:
            claims = await self._claims(authorizer, identity[0])
        except (TokenError, ClaimError) as exc:
            refused = _challenge(scopes, "invalid_token", str(exc))
            raise TroubleError(Trouble.UNAUTHORIZED, refused) from None
        granted = token_claims.granted_scopes(claims, scopes)
        if scopes and not granted:
            refused = _challenge(
                scopes, "insufficient_scope", "the token does not have a scope that is required"
            )
            raise TroubleError(Trouble.DENIED, refused)
        return Authorized(claims=token_claims.shown(claims), scopes=granted or None)

    async def _claims(self, authorizer: Authorizer, text: str) -> Mapping[str, Any]:
        token = json_web_tokens.parse(text)
        try:
            key = await self._keys.key(authorizer.issuer, token.key_id)
        except KeySetError as exc:
            log.warning("tokens of %s cannot be checked: %s", authorizer.issuer, exc)
            raise TokenError("OIDC discovery endpoint communication error") from None
        if key is None:
            raise TokenError("the token's kid is none of the issuer's keys")
        json_web_tokens.verify(token, key)
        token_claims.check(
            token.claims,
            issuer=authorizer.issuer,
            audience=authorizer.audience,
            now=self._clock.now(),
        )
        return token.claims


def _identity(asked: ApiCall, now: float) -> Identity:
    return Identity(
        headers=asked.call.headers,
        query={name: each[-1] for name, each in query_parameters(asked.call.query).items()},
        stage_variables=asked.stage.variables,
        context={"routeKey": asked.match.route.key, **context_1(asked, now)},
    )


async def _effect(answer: Answer, asked: ApiCall) -> Effect | None:
    """Apply an answer to a request. Policies and paths are users', who may want to keep us busy:
    to match a long one with the other takes a while, which the event loop is not to wait for."""
    arn, source_ip = asked.arn, asked.call.source_ip
    if len(arn) > MAX_ARN:
        raise TroubleError(Trouble.TOO_LARGE)
    if len(arn) <= SHORT_ARN:
        return answer.effect(arn, source_ip)
    return await anyio.to_thread.run_sync(answer.effect, arn, source_ip)


def _fits(authorizer: Authorizer, identity: tuple[str, ...]) -> bool:
    """Whether a token looks like one. Raises UnsupportedError if that cannot be told."""
    if not authorizer.expression:
        return True
    try:
        return LogRegex(authorizer.expression).search(identity[0])
    except RegexError as exc:
        message = f"An authorizer validates tokens by {authorizer.expression!r} ({exc})"
        raise UnsupportedError(message) from None


def _challenge(scopes: Sequence[str], error: str, description: str) -> list[tuple[bytes, bytes]]:
    text = f'Bearer scope="{" ".join(scopes)}" error="{error}" error_description="{description}"'
    # A scope is the API owner's text and may be anything.
    printable = "".join(each if " " <= each <= "~" else "?" for each in text)
    return [(b"www-authenticate", printable.encode())]
