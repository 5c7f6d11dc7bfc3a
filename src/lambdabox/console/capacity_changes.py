"""Provisioned concurrency of versions and aliases, and whose code a function takes."""

from lambdabox.console.forms import Form, number
from lambdabox.console.function_calls import FunctionCalls


async def put_provisioned(calls: FunctionCalls, form: Form) -> str:
    count = number(form, "provisioned", "Provisioned concurrency")
    qualifier = form.text("qualifier")
    await calls.call(
        "PutProvisionedConcurrencyConfig",
        {"Qualifier": qualifier, "ProvisionedConcurrentExecutions": count},
    )
    noun = "environment is" if count == 1 else "environments are"
    return f"{count} {noun} being made ready for {qualifier}."


async def delete_provisioned(calls: FunctionCalls, form: Form) -> str:
    qualifier = form.text("qualifier")
    await calls.call("DeleteProvisionedConcurrencyConfig", {"Qualifier": qualifier})
    return f"Nothing is provisioned for {qualifier} any more."


async def set_code_signing(calls: FunctionCalls, form: Form) -> str:
    """Take a configuration's signers' code alone, or anybody's."""
    if not form.text("signing"):
        await calls.call("DeleteFunctionCodeSigningConfig")
        return "The function takes code that nobody has signed."
    await calls.call("PutFunctionCodeSigningConfig", {"CodeSigningConfigArn": form.text("signing")})
    return "Code that comes from now on has to be signed as the configuration says."
