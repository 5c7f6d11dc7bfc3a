"""What the server for other services does better than moto: patterns, targets, memory.

moto knows a part of the languages of event patterns and filter policies, and stumbles over the
rest: a write through another's rule would fail. Here it uses the node's own. A target that
cannot be reached is not the publisher's fault, as on AWS. Lambda is not among moto's services:
what it would send to a function is dropped, because the node sends it. Messages of
its queues have no trace, what is denied under a condition it denies always, and it keeps each
iterator of a DynamoDB stream that it ever gave out, one for each look at a stream: here they
have, conditions are left out, and the oldest expire, as on AWS. Nor does it see in an OpenAPI
document whom an API lets in.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lambdabox.backends.moto_openapi import secure_http_api, secure_rest_api
from lambdabox.domain.event_filters import pattern_of
from lambdabox.domain.topics import Attribute, Subscription, TopicMessage, lets_through

log = logging.getLogger(__name__)

ITERATORS = 5_000
"""Of streams, for each account and region; about 1.5 KB each."""


class _Nobody:
    """Stands for moto's Lambda where other services of moto would invoke a function."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return self._ignore

    def _ignore(self, *args: object, **options: object) -> None:
        pass


def without_functions() -> None:
    # Imported here, as everywhere in this module: the node reads names of the server's.
    import moto.awslambda.utils as functions

    _replace(functions, "get_backend", lambda *_account_and_region: _Nobody())


def repair(service: str) -> None:
    """Repair a service, once it is loaded."""
    if service == "events":
        _repair_rules()
    elif service == "sns":
        _repair_topics()
    elif service == "sqs":
        _repair_messages()
    elif service == "dynamodbstreams":
        _repair_iterators()
    elif service == "s3":
        _repair_bucket_policies()

    elif service == "apigateway":
        _repair_rest_apis()
    elif service == "apigatewayv2":
        _repair_http_apis()


def _repair_rules() -> None:
    from moto.events import models

    def matches_event(self: Any, event: Mapping[str, Any]) -> bool:
        pattern = self.get_pattern()
        return not pattern or pattern_of(pattern).matches(json.loads(json.dumps(event)))

    _replace(models.EventPattern, "matches_event", matches_event)
    _replace(models.Rule, "send_to_targets", _forgiving(models.Rule.send_to_targets))


def _repair_topics() -> None:
    from moto.sns import models, utils

    def matches(self: Any, attributes: Mapping[str, Any] | None, message: str) -> bool:
        policy = json.dumps(self.filter_policy or {})
        subscription = Subscription("", "", "", policy, self.filter_policy_scope)
        known = {
            name: Attribute(each["Type"], _attribute_text(each["Value"]))
            for name, each in (attributes or {}).items()
        }
        return lets_through(subscription, TopicMessage("", message, attributes=known))

    _replace(utils.FilterPolicyMatcher, "matches", matches)
    _replace(models.Subscription, "publish", _forgiving(models.Subscription.publish))


def _repair_messages() -> None:
    """Have messages carry the trace of the request that sent them, as on AWS: loops through a
    queue are noticed by it."""
    from flask import request
    from moto.sqs import models

    send = models.SQSBackend.send_message

    def send_traced(self: Any, *args: Any, **options: Any) -> Any:
        trace = request.headers.get("x-amzn-trace-id") if request else None
        system = options.get("system_attributes") or {}
        if trace and "AWSTraceHeader" not in system:
            header = {"DataType": "String", "StringValue": trace}
            options["system_attributes"] = {**system, "AWSTraceHeader": header}
        return send(self, *args, **options)

    _replace(models.SQSBackend, "send_message", send_traced)


class Iterators(dict[str, Any]):
    """The iterators of streams, the oldest of which are forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def __setitem__(self, name: str, iterator: Any) -> None:
        with self._lock:
            super().__setitem__(name, iterator)
            while len(self) > ITERATORS:
                del self[next(iter(self))]

    def __missing__(self, name: str) -> Any:
        from moto.core.exceptions import JsonRESTError

        raise JsonRESTError("ExpiredIteratorException", "The iterator is too old.")


def _repair_iterators() -> None:
    from moto.dynamodbstreams import models

    make = models.DynamoDBStreamsBackend.__init__

    def make_bounded(self: Any, region_name: str, account_id: str) -> None:
        make(self, region_name, account_id)
        self.shard_iterators = Iterators()

    _replace(models.DynamoDBStreamsBackend, "__init__", make_bounded)


def _repair_bucket_policies() -> None:
    """Have statements with conditions mean nothing: moto takes none of them for met, and so
    lets nobody into a bucket that is closed for some, such as for those without TLS."""
    from moto.iam.access_control import IAMPolicy
    from moto.s3.models import FakeBucket

    def get_permission(self: Any, action: str, resource: str) -> Any:
        policy = json.loads(self.policy or b"{}")
        statements = policy.get("Statement") or []
        statements = [statements] if isinstance(statements, dict) else statements
        plain = [each for each in statements if "Condition" not in each]
        permission = IAMPolicy(json.dumps({"Statement": plain}))
        return permission.is_action_permitted(action, resource)

    _replace(FakeBucket, "get_permission", get_permission)


def _repair_rest_apis() -> None:
    from moto.apigateway import models

    create, put = models.RestAPI.create_authorizer, models.APIGatewayBackend.put_rest_api

    def create_whole(self: Any, *args: Any, **options: Any) -> Any:
        """It forgets what tokens must look like."""
        made = create(self, *args, **options)
        made.identity_validation_expression = options.get("identiy_validation_expression")
        return made

    def put_secured(self: Any, api_id: str, document: Any, *args: Any, **options: Any) -> Any:
        api = put(self, api_id, document, *args, **options)
        schemes = (document.get("components") or {}).get("securitySchemes") or {}
        for id in [id for id, each in api.authorizers.items() if each.name in schemes]:
            del api.authorizers[id]  # of the import before
        secure_rest_api(
            document,
            partial(self.create_authorizer, api_id),
            lambda path, method: api.get_resource_for_path(path).resource_methods[method],
        )
        return api

    _replace(models.RestAPI, "create_authorizer", create_whole)
    _replace(models.APIGatewayBackend, "put_rest_api", put_secured)


def _repair_http_apis() -> None:
    import yaml
    from moto.apigatewayv2 import models, responses

    read = models.Api.import_api

    def read_secured(self: Any, body: str, fail_on_warnings: bool) -> None:
        read(self, body, fail_on_warnings)
        secure_http_api(yaml.safe_load(body), self)

    def import_api(self: Any) -> tuple[int, dict[str, Any], str]:
        """It knows how to import into an API that is there, and not how to make one so."""
        given = json.loads(self.body)
        title = (yaml.safe_load(given["body"]).get("info") or {}).get("title", "")
        members = ("api_key_selection_expression", "cors_configuration", "description",
                   "disable_schema_validation", "disable_execute_api_endpoint",
                   "route_selection_expression", "tags", "version")  # fmt: skip
        empty = dict.fromkeys(members)
        api = self.apigatewayv2_backend.create_api(name=title, protocol_type="HTTP", **empty)
        api.import_api(given["body"], False)
        return 201, {}, json.dumps(api.to_json())

    _replace(models.Api, "import_api", read_secured)
    responses.ApiGatewayV2Response.import_api = import_api  # type: ignore[attr-defined]  # new


def _attribute_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _forgiving(send: Callable[..., None]) -> Callable[..., None]:
    def send_if_possible(*args: Any, **options: Any) -> None:
        try:
            send(*args, **options)
        except Exception as exc:
            # Whoever publishes does not hear of it; the log does, and other targets go on.
            log.warning("moto could not send to a target: %s: %s", type(exc).__name__, exc)

    return send_if_possible


def _replace(owner: object, name: str, by: object) -> None:
    if not hasattr(owner, name):
        raise AttributeError(f"moto has no {name} any more: this module needs a look")
    setattr(owner, name, by)
