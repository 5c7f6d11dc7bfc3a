"""Sources that tell a function what happens in them, if its policy lets them: S3, SNS, Logs."""

import re
from collections.abc import Sequence
from typing import Any

from lambdabox.console.forms import Form
from lambdabox.console.trigger_kinds.kind import Choice, chosen, new_name
from lambdabox.console.trigger_kinds.workbench import Workbench
from lambdabox.domain.errors import InvalidParameterValueException

_DEFAULT_REGION = "us-east-1"


class BucketTrigger:
    id = "s3"
    title = "S3 bucket"
    summary = "Objects that are written, removed or tagged."
    noun = "bucket"

    def suggestion(self, function_name: str) -> str:
        # Names of buckets have no capitals and no underscores.
        return re.sub(r"[^a-z0-9-]+", "-", f"{function_name.lower()}-uploads")[:63].strip("-")

    def plan(self, form: Form) -> Sequence[str]:
        kept = f"{form.text('prefix')}*{form.text('suffix')}"
        of = f" of {kept}" if kept != "*" else ""
        return [
            f"The bucket {form.text('new_name')}",
            f"A notification of it for {form.text('events')}{of}",
            "A statement in the function's policy that lets the bucket invoke it",
        ]

    async def choices(self, bench: Workbench) -> Sequence[Choice]:
        found = await bench.ask("s3", "ListBuckets")
        return [Choice(each["Name"], each["Name"]) for each in found.get("Buckets") or ()]

    async def add(self, bench: Workbench, form: Form) -> None:
        bucket = chosen(form, self.noun)
        if not form.all("events"):
            raise InvalidParameterValueException("Choose what of the bucket invokes the function.")
        if not bucket:
            bucket = await new_name(self, bench, form)
            region = bench.scope.region
            where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
            options: dict[str, Any] = {} if region == _DEFAULT_REGION else where
            await bench.ask("s3", "CreateBucket", Bucket=bucket, **options)
            bench.done.append(f"The bucket {bucket} is made.")
        await bench.allow("s3.amazonaws.com", f"arn:aws:s3:::{bucket}", account=True)
        await self._notify(bench, bucket, form)

    async def _notify(self, bench: Workbench, bucket: str, form: Form) -> None:
        found = dict(await bench.ask("s3", "GetBucketNotificationConfiguration", Bucket=bucket))
        found.pop("ResponseMetadata", None)
        rules = [
            {"Name": name, "Value": form.text(name)}
            for name in ("prefix", "suffix")
            if form.text(name)
        ]
        notification = {
            "LambdaFunctionArn": bench.function_arn,
            "Events": form.all("events"),
            **({"Filter": {"Key": {"FilterRules": rules}}} if rules else {}),
        }
        others = found.get("LambdaFunctionConfigurations") or []
        found["LambdaFunctionConfigurations"] = [*others, notification]
        await bench.ask(
            "s3",
            "PutBucketNotificationConfiguration",
            Bucket=bucket,
            NotificationConfiguration=found,
        )
        bench.done.append(
            f"The bucket {bucket} tells the function of {', '.join(form.all('events'))}."
        )


class TopicTrigger:
    id = "sns"
    title = "SNS topic"
    summary = "Messages, one by one, that pass a filter."
    noun = "topic"

    def suggestion(self, function_name: str) -> str:
        return f"{function_name}-topic"

    def plan(self, form: Form) -> Sequence[str]:
        return [
            f"The topic {form.text('new_name')}",
            "A subscription of the function to it",
            "A statement in the function's policy that lets the topic invoke it",
        ]

    async def choices(self, bench: Workbench) -> Sequence[Choice]:
        found = await bench.ask("sns", "ListTopics")
        arns = [each["TopicArn"] for each in found.get("Topics") or ()]
        return [Choice(arn, arn.rpartition(":")[2]) for arn in arns]

    async def add(self, bench: Workbench, form: Form) -> None:
        arn = chosen(form, self.noun)
        if not arn:
            name = await new_name(self, bench, form)
            arn = (await bench.ask("sns", "CreateTopic", Name=name))["TopicArn"]
            bench.done.append(f"The topic {name} is made.")
        await bench.allow("sns.amazonaws.com", arn)
        policy = form.text("filter_policy")
        scope = form.text("filter_scope") or "MessageAttributes"
        filter = {"FilterPolicy": policy, "FilterPolicyScope": scope} if policy else {}
        await bench.ask(
            "sns",
            "Subscribe",
            TopicArn=arn,
            Protocol="lambda",
            Endpoint=bench.function_arn,
            Attributes=filter,
        )
        bench.done.append("The function is subscribed to the topic.")


class LogGroupTrigger:
    id = "logs"
    title = "CloudWatch Logs"
    summary = "Lines of a log group that match a pattern."
    noun = "log group"

    def suggestion(self, function_name: str) -> str:
        return f"/{function_name}/source"

    def plan(self, form: Form) -> Sequence[str]:
        return [
            f"The log group {form.text('new_name')}",
            "A subscription filter of it that leads to the function",
            "A statement in the function's policy that lets the log group invoke it",
        ]

    async def choices(self, bench: Workbench) -> Sequence[Choice]:
        found = await bench.ask("logs", "DescribeLogGroups", limit=50)
        own = f"/aws/lambda/{bench.name}"  # it would hear of itself without end
        names = [each["logGroupName"] for each in found.get("logGroups") or ()]
        return [Choice(name, name) for name in names if name != own]

    async def add(self, bench: Workbench, form: Form) -> None:
        group = chosen(form, self.noun)
        if not group:
            group = await new_name(self, bench, form)
            await bench.ask("logs", "CreateLogGroup", logGroupName=group)
            bench.done.append(f"The log group {group} is made.")
        arn = bench.arn("logs", f"log-group:{group}:*")
        await bench.allow("logs.amazonaws.com", arn)
        await bench.ask(
            "logs",
            "PutSubscriptionFilter",
            logGroupName=group,
            filterName=form.text("filter_name") or bench.name,
            filterPattern=form.text("pattern"),
            destinationArn=bench.function_arn,
        )
        bench.done.append(f"Lines of {group} that match go to the function.")
