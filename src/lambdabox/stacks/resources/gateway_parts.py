"""What REST APIs have beside resources: authorizers, models, validators, keys and plans.

AWS::ApiGateway::Authorizer, Model, RequestValidator, GatewayResponse, ApiKey, UsagePlan and
UsagePlanKey. Each is made and deleted by an operation of its own name; a change makes a new one.
"""

from collections.abc import Sequence
from typing import Any

from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceKind,
    Result,
    Work,
    picked,
    tag_map,
    without,
)

_REST = "apigateway"


def _part(
    name: str, *, required: Sequence[str] = (), made_up: NameRule | None = None
) -> ResourceKind:
    """Return the kind of a part of an API that has an id."""

    async def create(work: Work, properties: Properties) -> Result:
        id = str((await work.call(_REST, f"Create{name}", properties))["id"])
        return Result(id, {f"{name}Id": id})

    async def delete(work: Work, id: str, properties: Properties) -> None:
        what = {**picked(properties, "RestApiId"), f"{name}Id": id}
        await work.call_if_there(_REST, f"Delete{name}", what)

    return ResourceKind(create, delete, required=("RestApiId", *required), name=made_up)


AUTHORIZER = _part("Authorizer", required=("Name", "Type"))
REQUEST_VALIDATOR = _part("RequestValidator", made_up=NameRule("Name", 128))


async def _create_model(work: Work, properties: Properties) -> Result:
    name = "".join(letter for letter in properties["Name"] if letter.isalnum())
    given = {"ContentType": "application/json", **properties, "Name": name}
    await work.call(_REST, "CreateModel", given)
    return Result(name)


async def _delete_model(work: Work, id: str, properties: Properties) -> None:
    what = {**picked(properties, "RestApiId"), "modelName": id}
    await work.call_if_there(_REST, "DeleteModel", what)


MODEL = ResourceKind(
    _create_model, _delete_model, required=("RestApiId",), name=NameRule("Name", 128)
)


async def _put_response(work: Work, properties: Properties) -> Result:
    await work.call(_REST, "PutGatewayResponse", properties)
    return Result(f"{properties['RestApiId']}|{properties['ResponseType']}")


async def _delete_response(work: Work, _id: str, properties: Properties) -> None:
    what = picked(properties, "RestApiId", "ResponseType")
    await work.call_if_there(_REST, "DeleteGatewayResponse", what)


GATEWAY_RESPONSE = ResourceKind(
    _put_response, _delete_response, required=("ResponseType", "RestApiId")
)


def _tagged(properties: Properties) -> dict[str, Any]:
    tags = tag_map(properties.get("Tags"))
    return {**without(properties, "Tags"), **({"tags": tags} if tags else {})}


async def _create_key(work: Work, properties: Properties) -> Result:
    id = (await work.call(_REST, "CreateApiKey", _tagged(properties)))["id"]
    return Result(id, {"APIKeyId": id})


async def _delete_key(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there(_REST, "DeleteApiKey", {"apiKey": id})


API_KEY = ResourceKind(_create_key, _delete_key, name=NameRule("Name", 128), tags="list")


async def _create_plan(work: Work, properties: Properties) -> Result:
    given = {"Name": properties["UsagePlanName"], **without(properties, "UsagePlanName")}
    id = (await work.call(_REST, "CreateUsagePlan", _tagged(given)))["id"]
    return Result(id, {"Id": id})


async def _delete_plan(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there(_REST, "DeleteUsagePlan", {"usagePlanId": id})


USAGE_PLAN = ResourceKind(
    _create_plan, _delete_plan, name=NameRule("UsagePlanName", 128), tags="list"
)


async def _create_plan_key(work: Work, properties: Properties) -> Result:
    made = await work.call(_REST, "CreateUsagePlanKey", properties)
    id = f"{made['id']}:{properties['UsagePlanId']}"
    return Result(id, {"Id": id})


async def _delete_plan_key(work: Work, _id: str, properties: Properties) -> None:
    what = picked(properties, "KeyId", "UsagePlanId")
    await work.call_if_there(_REST, "DeleteUsagePlanKey", what)


USAGE_PLAN_KEY = ResourceKind(
    _create_plan_key, _delete_plan_key, required=("KeyId", "KeyType", "UsagePlanId")
)
