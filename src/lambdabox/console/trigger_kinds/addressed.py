"""Triggers that are addresses: an HTTP API of API Gateway, and the function's own URL."""

from collections.abc import Sequence

from lambdabox.aws_ports import AwsCallError
from lambdabox.console.forms import Form
from lambdabox.console.trigger_kinds.kind import Choice, chosen, new_name
from lambdabox.console.trigger_kinds.workbench import Workbench
from lambdabox.console.url_changes import open_to_everybody, url_settings

_DEFAULT_ROUTE = "$default"
API_PRINCIPAL = "apigateway.amazonaws.com"


class ApiTrigger:
    id = "api"
    title = "HTTP API"
    summary = "Routes of API Gateway: methods and paths."
    noun = "API"

    def suggestion(self, function_name: str) -> str:
        return f"{function_name}-api"

    def plan(self, form: Form) -> Sequence[str]:
        return [
            f"The HTTP API {form.text('new_name')}, with a route to the function",
            "A statement in the function's policy that lets the API invoke it",
        ]

    async def choices(self, bench: Workbench) -> Sequence[Choice]:
        found = await bench.ask("apigatewayv2", "GetApis")
        return [
            Choice(each["ApiId"], f"{each['Name']} ({each['ApiId']})")
            for each in found.get("Items") or ()
            if each.get("ProtocolType") == "HTTP"
        ]

    async def add(self, bench: Workbench, form: Form) -> None:
        api, route = chosen(form, self.noun), form.text("route") or _DEFAULT_ROUTE
        if api:
            integration = await bench.ask(
                "apigatewayv2",
                "CreateIntegration",
                ApiId=api,
                IntegrationType="AWS_PROXY",
                IntegrationUri=bench.function_arn,
                PayloadFormatVersion="2.0",
            )
            target = f"integrations/{integration['IntegrationId']}"
            await bench.ask("apigatewayv2", "CreateRoute", ApiId=api, RouteKey=route, Target=target)
            bench.done.append(f"The API {api} has the route {route} to the function.")
        else:
            name = await new_name(self, bench, form)
            # With a target it gets its route, and a stage that needs no deployment.
            made = await bench.ask(
                "apigatewayv2",
                "CreateApi",
                Name=name,
                ProtocolType="HTTP",
                RouteKey=route,
                Target=bench.function_arn,
            )
            api = made["ApiId"]
            bench.done.append(f"The API {name} is made, at {made['ApiEndpoint']}.")
        await bench.allow(API_PRINCIPAL, bench.arn("execute-api", f"{api}/*/*"))


async def remove_api(bench: Workbench, api: str) -> str:
    """Take away the routes of an API that lead to the function; return what was done.

    An API without any other route goes with them.
    """
    named = {"ApiId": api}
    try:
        found = await bench.ask("apigatewayv2", "GetIntegrations", **named)
        ours = {
            f"integrations/{each['IntegrationId']}"
            for each in found.get("Items") or ()
            if each.get("IntegrationUri") == bench.function_arn
        }
        routes = (await bench.ask("apigatewayv2", "GetRoutes", **named)).get("Items") or ()
        gone = [route for route in routes if route.get("Target") in ours]
        if len(gone) == len(routes):
            await bench.ask("apigatewayv2", "DeleteApi", **named)
            return f"The API {api} is deleted: it had no other route."
        for route in gone:
            await bench.ask("apigatewayv2", "DeleteRoute", **named, RouteId=route["RouteId"])
        for target in ours:
            id = target.partition("/")[2]
            await bench.ask("apigatewayv2", "DeleteIntegration", **named, IntegrationId=id)
    except AwsCallError as exc:
        if exc.code != "NotFoundException":
            raise
        return f"The API {api} was gone already."
    return f"The routes of the API {api} to the function are deleted."


class UrlTrigger:
    id = "url"
    title = "Function URL"
    summary = "An address of its own, without API Gateway."
    noun = ""

    def suggestion(self, _function_name: str) -> str:
        return ""

    def plan(self, form: Form) -> Sequence[str]:
        lines = ["A URL of the function's own"]
        if form.text("auth") == "NONE":
            lines.append("Two statements in its policy that let everybody use it")
        return lines

    async def choices(self, _bench: Workbench) -> Sequence[Choice]:
        return ()

    async def add(self, bench: Workbench, form: Form) -> None:
        qualifier = {"Qualifier": bench.qualifier} if bench.qualifier else {}
        made = await bench.calls.call(
            "CreateFunctionUrlConfig", {**url_settings(form), **qualifier}
        )
        bench.done.append(f"The function answers at {made['FunctionUrl']}")
        if made["AuthType"] == "NONE":
            await open_to_everybody(bench.calls, bench.qualifier)
            bench.done.append("Everybody may use it (two statements in its policy).")
