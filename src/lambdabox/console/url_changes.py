"""A function's URL: making it, changing it, and letting everybody use it."""

from typing import Any

from lambdabox.console.forms import Form, number
from lambdabox.console.function_calls import FunctionCalls
from lambdabox.domain.errors import ResourceConflictException

_CORS_LISTS = (
    ("origins", "AllowOrigins"),
    ("methods", "AllowMethods"),
    ("headers", "AllowHeaders"),
    ("exposed", "ExposeHeaders"),
)
# Since 2025 this takes both.
_PUBLIC: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("public-url-1", "lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}),
    ("public-url-2", "lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
)


def url_settings(form: Form) -> dict[str, Any]:
    """Return the members of CreateFunctionUrlConfig and UpdateFunctionUrlConfig."""
    return {
        "AuthType": form.text("auth") or "NONE",
        "InvokeMode": form.text("mode") or "BUFFERED",
        "Cors": _cors(form) if form.text("cors") == "on" else {},
    }


def _cors(form: Form) -> dict[str, Any]:
    cors: dict[str, Any] = {
        member: [each.strip() for each in form.text(field).split(",") if each.strip()]
        for field, member in _CORS_LISTS
        if form.text(field)
    }
    if form.text("max_age"):
        cors["MaxAge"] = number(form, "max_age", "The age of CORS answers")
    if form.text("credentials") == "on":
        cors["AllowCredentials"] = True
    return cors


async def put_url(calls: FunctionCalls, form: Form) -> str:
    """Make the URL, or change it."""
    is_new = await calls.find("GetFunctionUrlConfig") is None
    operation = "CreateFunctionUrlConfig" if is_new else "UpdateFunctionUrlConfig"
    settings = url_settings(form)
    found = await calls.call(operation, settings)
    told = f"The function answers at {found['FunctionUrl']}."
    if settings["AuthType"] == "NONE" and await open_to_everybody(calls):
        told += " Two statements in its policy let everybody use it."
    return told


async def delete_url(calls: FunctionCalls, _form: Form) -> str:
    await calls.call("DeleteFunctionUrlConfig")
    for sid, _, _ in _PUBLIC:
        await calls.find("RemovePermission", {"StatementId": sid})
    return "The URL is deleted, and nobody may use it any more."


async def open_to_everybody(calls: FunctionCalls, qualifier: str = "") -> bool:
    """Let everybody use the URL; return whether that was not so before."""
    has_changed = False
    for sid, action, condition in _PUBLIC:
        statement = {"StatementId": sid, "Action": action, "Principal": "*", **condition}
        try:
            await calls.call(
                "AddPermission",
                {**statement, "Qualifier": qualifier} if qualifier else statement,
            )
            has_changed = True
        except ResourceConflictException:
            continue  # it is there already
    return has_changed
