"""The texts of `ValidationException` as recorded on AWS, character by character."""

from typing import Any

import orjson
import pytest
from wire import LAMBDA, LOGS, received, request_of

from lambdabox.api.parse import Match
from lambdabox.domain.errors import ValidationException
from lambdabox.domain.runtimes import CREATABLE

ACCOUNT = "us-east-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/r"
CREATE: dict[str, Any] = {"FunctionName": "f", "Role": ROLE, "Code": {"ZipFile": b"z"}}
CREATABLE_LIST = ", ".join(CREATABLE)
KNOWN_LIST = ", ".join(LAMBDA.service.shape_for("Runtime").metadata["enum"])
TOO_LONG = f"arn:aws:lambda:{ACCOUNT}:function:{'a' * 140}"
URL_QUALIFIER = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)"
WEIGHTS = "routingConfig.additionalVersionWeights"
NOT_AN_ENUM = "failed to satisfy constraint: Member must satisfy enum value set:"
NO_MATCH = "failed to satisfy constraint: Member must satisfy regular expression pattern:"


def _pattern(shape: str) -> str:
    pattern: str = LAMBDA.service.shape_for(shape).metadata["pattern"]
    return pattern


def _alias(weights: dict[str, float]) -> dict[str, Any]:
    routing = {"AdditionalVersionWeights": weights}
    return {"FunctionName": "f", "Name": "a", "FunctionVersion": "1", "RoutingConfig": routing}


def _qualifier(value: str) -> tuple[str, dict[str, Any], str]:
    params = {"FunctionName": "f", "Qualifier": value, "AuthType": "NONE"}
    return (
        "CreateFunctionUrlConfig",
        params,
        f"Value '{value}' at 'qualifier' {NO_MATCH} {URL_QUALIFIER}",
    )


def _resource(arn: str) -> tuple[str, dict[str, Any], str]:
    pattern = _pattern("TaggableResource")
    return ("ListTags", {"Resource": arn}, f"Value '{arn}' at 'resource' {NO_MATCH} {pattern}")


def _weights(shown: str) -> str:
    return (
        f"Value '{shown}' at '{WEIGHTS}' failed to satisfy constraint: Map value must satisfy "
        "constraint: [Member must have value less than or equal to 1.0, Member must have value "
        "greater than or equal to 0.0, Member must not be null]"
    )


def _vpc(member: str, path: str, value: str, pattern: str) -> tuple[str, dict[str, Any], str]:
    return (
        "CreateFunction",
        CREATE | {"VpcConfig": {member: [value]}},
        (
            f"Value '[{value}]' at 'vpcConfig.{path}' failed to satisfy constraint: Member must "
            "satisfy constraint: [Member must have length less than or equal to 1024, Member must "
            "have length greater than or equal to 0, Member must satisfy regular expression "
            f"pattern: {pattern}]"
        ),
    )


ONE_ERROR: list[tuple[str, dict[str, Any], str]] = [
    _qualifier("$LATEST"),
    _qualifier("1"),
    _qualifier("2"),
    (
        "AddLayerVersionPermission",
        {"LayerName": "l", "VersionNumber": 1, "StatementId": "s", "Action": "*", "Principal": "*"},
        f"Value '*' at 'action' {NO_MATCH} lambda:GetLayerVersion",
    ),
    (
        "PutProvisionedConcurrencyConfig",
        {"FunctionName": "f", "Qualifier": "1", "ProvisionedConcurrentExecutions": 0},
        (
            "Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member "
            "must have value greater than or equal to 1"
        ),
    ),
    (
        "CreateAlias",
        {"FunctionName": "f", "Name": "2024", "FunctionVersion": "1"},
        f"Value '2024' at 'name' {NO_MATCH} (?!^[0-9]+$)([a-zA-Z0-9-_]+)",
    ),
    (
        "PutFunctionRecursionConfig",
        {"FunctionName": "f", "RecursiveLoop": "InvalidValue"},
        f"Value 'InvalidValue' at 'recursiveLoop' {NOT_AN_ENUM} [Terminate, Allow]",
    ),
    (
        "CreateFunctionUrlConfig",
        {"FunctionName": "f", "AuthType": "NONE", "InvokeMode": "UNKNOWN"},
        f"Value 'UNKNOWN' at 'invokeMode' {NOT_AN_ENUM} [RESPONSE_STREAM, BUFFERED]",
    ),
    (
        "CreateFunction",
        CREATE | {"Architectures": ["X86_64"]},
        (
            "Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must satisfy "
            "constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be "
            "null]"
        ),
    ),
    (
        "CreateFunction",
        CREATE | {"Architectures": ["x86_64", "arm64"]},
        (
            "Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member must "
            "have length less than or equal to 1"
        ),
    ),
    (
        "CreateFunction",
        CREATE | {"Layers": [f"arn:aws:lambda:{ACCOUNT}:layer:l"]},
        (
            f"Value '[arn:aws:lambda:{ACCOUNT}:layer:l]' at 'layers' failed to satisfy constraint: "
            "Member must satisfy constraint: [Member must have length less than or equal to 2048, "
            "Member must have length greater than or equal to 1, Member must satisfy regular "
            f"expression pattern: {_pattern('LayerVersionArn')}, Member must not be null]"
        ),
    ),
    _vpc("SecurityGroupIds", "securityGroupIds", "sg_1", "sg-[0-9a-zA-Z]*"),
    _vpc("SubnetIds", "subnetIds", "subnet_1", "subnet-[0-9a-z]*"),
    (
        "ListLayers",
        {"CompatibleArchitecture": "archdoesnotexist"},
        f"Value 'archdoesnotexist' at 'compatibleArchitecture' {NOT_AN_ENUM} [x86_64, arm64]",
    ),
    (
        "ListLayers",
        {"CompatibleRuntime": "runtimedoesnotexist"},
        f"Value 'runtimedoesnotexist' at 'compatibleRuntime' {NOT_AN_ENUM} [{KNOWN_LIST}]",
    ),
    (
        "PutFunctionEventInvokeConfig",
        {
            "FunctionName": "f",
            "DestinationConfig": {
                "OnFailure": {"Destination": f"arn:aws:_-/!lambda:{ACCOUNT}:function:f"}
            },
        },
        (
            f"Value 'arn:aws:_-/!lambda:{ACCOUNT}:function:f' at "
            f"'destinationConfig.onFailure.destination' {NO_MATCH} {_pattern('DestinationArn')}"
        ),
    ),
    (
        "Invoke",
        {"FunctionName": "arn:aws:lambda:us-east-1:123400000000@function:myfn"},
        (
            "Value 'arn:aws:lambda:us-east-1:123400000000@function:myfn' at 'functionName' "
            f"{NO_MATCH} {_pattern('NamespacedFunctionName')}"
        ),
    ),
    _resource(f"arn:aws:lambda:{ACCOUNT}:capacity-provider:name:alias"),
    _resource(f"arn:aws:lambda:{ACCOUNT}:event-source-mapping:name:alias"),
    _resource(f"arn:aws:lambda:{ACCOUNT}:foobar:name"),
    _resource("arn:aws:something"),
    (
        "CreateFunction",
        CREATE | {"FunctionName": TOO_LONG},
        (
            f"Value '{TOO_LONG}' at 'functionName' failed to satisfy constraint: Member must have "
            "length less than or equal to 140"
        ),
    ),
    (
        "GetLayerVersionByArn",
        {"Arn": f"arn:aws:lambda:{ACCOUNT}:layer:l"},
        (
            f"Value 'arn:aws:lambda:{ACCOUNT}:layer:l' at 'arn' {NO_MATCH} "
            f"{_pattern('LayerVersionArn')}"
        ),
    ),
    (
        "AddPermission",
        {"FunctionName": "f", "StatementId": "example.com", "Action": "lambda:x", "Principal": "*"},
        f"Value 'example.com' at 'statementId' {NO_MATCH} ([a-zA-Z0-9-_]+)",
    ),
    (
        "ListFunctions",
        {"FunctionVersion": "invalid"},
        f"Value 'invalid' at 'functionVersion' {NOT_AN_ENUM} [ALL]",
    ),
    (
        "CreateEventSourceMapping",
        {"FunctionName": "f", "StartingPosition": "invalid"},
        (
            f"Value 'invalid' at 'startingPosition' {NOT_AN_ENUM} "
            "[LATEST, AT_TIMESTAMP, TRIM_HORIZON]"
        ),
    ),
    (
        "GetPolicy",
        {"FunctionName": "f", "Qualifier": "invalid-qualifier-with-?-char"},
        (
            f"Value 'invalid-qualifier-with-?-char' at 'qualifier' {NO_MATCH} "
            r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
        ),
    ),
    (
        "GetFunction",
        {"FunctionName": "invalid:function:name"},
        (
            "Value 'invalid:function:name' at 'functionName' "
            f"{NO_MATCH} {_pattern('NamespacedFunctionName')}"
        ),
    ),
    (
        "CreateFunction",
        CREATE | {"SnapStart": {"ApplyOn": "invalidOption"}},
        f"Value 'invalidOption' at 'snapStart.applyOn' {NOT_AN_ENUM} [PublishedVersions, None]",
    ),
    (
        "CreateFunction",
        CREATE | {"Role": "r1"},
        f"Value 'r1' at 'role' {NO_MATCH} {_pattern('RoleArn')}",
    ),
    (
        "CreateAlias",
        _alias({"$LATEST": 0.5}),
        (
            f"Value '{{$LATEST=0.5}}' at '{WEIGHTS}' failed to satisfy constraint: Map keys must "
            "satisfy constraint: [Member must have length less than or equal to 1024, Member must "
            "have length greater than or equal to 1, Member must satisfy regular expression "
            "pattern: [0-9]+]"
        ),
    ),
    ("CreateAlias", _alias({"2": -1}), _weights("{2=-1.0}")),
    ("CreateAlias", _alias({"2": 2}), _weights("{2=2.0}")),
    (
        "UntagResource",
        {"Resource": f"arn:aws:lambda:{ACCOUNT}:function:f", "TagKeys": []},
        "Value null at 'tagKeys' failed to satisfy constraint: Member must not be null",
    ),
]

TWO_ERRORS = [
    (["invalidruntime", "invalidruntime2", "nodejs20.x"], ["invalidarch", "x86_64"]),
    (["invalidruntime"], ["invalidarch"]),
]


def _refusal(name: str, params: dict[str, Any]) -> str:
    with pytest.raises(ValidationException) as refused:
        received(LAMBDA, request_of(LAMBDA.operation(name), params))
    response = LAMBDA.serialize_error(refused.value)
    assert response.status == 400
    assert (b"x-amzn-ErrorType", b"ValidationException") in response.headers
    assert orjson.loads(response.body) == {"message": refused.value.message}
    return refused.value.message


@pytest.mark.parametrize(("name", "params", "error"), ONE_ERROR)
def test_one_violation_is_told_as_recorded(name: str, params: dict[str, Any], error: str) -> None:
    assert _refusal(name, params) == f"1 validation error detected: {error}"


@pytest.mark.parametrize(("runtimes", "architectures"), TWO_ERRORS)
def test_two_violations_are_told_as_recorded(runtimes: list[str], architectures: list[str]) -> None:
    params = {
        "LayerName": "l",
        "Content": {"ZipFile": b"z"},
        "CompatibleRuntimes": runtimes,
        "CompatibleArchitectures": architectures,
    }
    assert _refusal("PublishLayerVersion", params) == (
        f"2 validation errors detected: Value '[{', '.join(runtimes)}]' at 'compatibleRuntimes' "
        f"{NOT_AN_ENUM} [{CREATABLE_LIST}]; Value '[{', '.join(architectures)}]' at "
        "'compatibleArchitectures' failed to satisfy constraint: Member must satisfy constraint: "
        "[Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
    )


@pytest.mark.parametrize("runtime", ["PYTHON3.9", "non-existent-runtime", "arn:x"])
def test_the_runtime_of_a_function_is_left_to_the_service(runtime: str) -> None:
    create = LAMBDA.operation("CreateFunction")
    assert received(LAMBDA, request_of(create, CREATE | {"Runtime": runtime}))["Runtime"] == runtime
    update = LAMBDA.operation("UpdateFunctionConfiguration")
    params = {"FunctionName": "f", "Runtime": runtime}
    assert received(LAMBDA, request_of(update, params)) == params


def test_a_name_of_65_characters_is_left_to_the_service() -> None:
    params = CREATE | {"FunctionName": "a" * 65}
    assert received(LAMBDA, request_of(LAMBDA.operation("CreateFunction"), params)) == params


def test_every_creatable_runtime_is_compatible_with_a_layer() -> None:
    for runtime in CREATABLE:
        params = {"LayerName": "l", "Content": {}, "CompatibleRuntimes": [runtime]}
        operation = LAMBDA.operation("PublishLayerVersion")
        assert received(LAMBDA, request_of(operation, params)) == params
        assert received(
            LAMBDA, request_of(LAMBDA.operation("ListLayers"), {"CompatibleRuntime": runtime})
        ) == {"CompatibleRuntime": runtime}


def test_missing_members_are_told_in_the_order_of_the_model() -> None:
    assert _refusal("CreateFunction", {}) == (
        "3 validation errors detected: "
        "Value null at 'functionName' failed to satisfy constraint: Member must not be null; "
        "Value null at 'role' failed to satisfy constraint: Member must not be null; "
        "Value null at 'code' failed to satisfy constraint: Member must not be null"
    )


def test_an_empty_value_breaks_its_length_and_its_pattern() -> None:
    qualifier = "'' at 'qualifier' failed to satisfy constraint: Member must"
    params = {"FunctionName": "f", "Qualifier": "", "AuthType": "NONE"}
    assert _refusal("CreateFunctionUrlConfig", params) == (
        f"2 validation errors detected: Value {qualifier} have length greater than or equal to 1; "
        f"Value {qualifier} satisfy regular expression pattern: {URL_QUALIFIER}"
    )


def test_no_pattern_is_tried_on_an_over_long_value() -> None:
    message = _refusal("CreateFunction", CREATE | {"FunctionName": "!" * 141})
    assert message.startswith("1 validation error detected: ")
    assert message.endswith("Member must have length less than or equal to 140")


def test_secrets_are_not_shown() -> None:
    message = _refusal("CreateFunction", CREATE | {"Environment": {"Variables": {"x": "hunter2"}}})
    assert message == (
        "1 validation error detected: Value at 'environment.variables' failed to satisfy "
        "constraint: Map keys must satisfy constraint: [Member must satisfy regular expression "
        "pattern: [a-zA-Z]([a-zA-Z0-9_])+]"
    )


def test_null_elements_are_refused() -> None:
    match = LAMBDA.match(
        "POST", b"/2017-03-31/tags/arn:aws:lambda:" + ACCOUNT.encode() + b":function:f", b""
    )
    with pytest.raises(ValidationException) as refused:
        LAMBDA.parse(match, {}, b'{"Tags":{"a":null}}')
    assert refused.value.message.startswith(
        "1 validation error detected: Value '{a=null}' at 'tags' failed to satisfy constraint: "
        "Map value must satisfy constraint: [Member must have length less than or equal to 256, "
    )


def test_structures_in_lists_are_told_one_by_one() -> None:
    access = [{"Type": "BASIC_AUTH"}, {"Type": "x"}]
    params = {"FunctionName": "f", "SourceAccessConfigurations": access}
    assert "Value 'x' at 'sourceAccessConfigurations.2.member.type' failed" in _refusal(
        "CreateEventSourceMapping", params
    )


def test_a_flood_of_violations_gets_a_bounded_answer() -> None:
    access = [{"Type": "x" * 500, "URI": ""}] * 5_000
    params = {"FunctionName": "f", "SourceAccessConfigurations": access}
    message = _refusal("CreateEventSourceMapping", params)
    assert message.startswith("100 validation errors detected: ")
    assert len(message) < 200_000


def test_an_over_long_value_is_cut() -> None:
    message = _refusal("CreateFunction", CREATE | {"Description": "x" * 1_000_000})
    assert len(message) < 20_000
    assert message.endswith("Member must have length less than or equal to 256")


def test_the_logs_service_checks_its_own_constraints() -> None:
    operation = LOGS.match_target("Logs_20140328.GetLogEvents")
    with pytest.raises(ValidationException) as refused:
        LOGS.parse(Match(operation), {}, b'{"logGroupName":"g"}')
    assert refused.value.message == (
        "1 validation error detected: Value null at 'logStreamName' failed to satisfy constraint: "
        "Member must not be null"
    )
