"""What the deploy and check scripts of the examples share.

Everything goes through what users have: the `lambdabox` command, and AWS's API through
boto3, which finds the node by AWS_ENDPOINT_URL. So the scripts work on AWS too, with
`aws lambda` in place of the one command.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import boto3

ENDPOINT = os.environ.setdefault("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
REGION = os.environ.get("AWS_REGION") or os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
os.environ["AWS_DEFAULT_REGION"] = REGION  # the one of the two that boto3 reads
# The node checks nobody's keys; boto3 wants some to sign with.
os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")

ACCOUNT = boto3.client("sts").get_caller_identity()["Account"]
ROLE = f"arn:aws:iam::{ACCOUNT}:role/examples"
WAIT_SECONDS = 60


def deploy(folder, name, *, timeout=10, memory=512, variables=None):
    """Deploy a folder as a function and return its ARN.

    Memory brings processor time with it, which importing boto3 is glad of.
    """
    command = [sys.executable, "-m", "lambdabox.cli.main", "deploy", str(folder)]
    command += ["--name", name, "--timeout", str(timeout), "--memory", str(memory)]
    command += ["--role", ROLE, "--json"]
    for key, value in (variables or {}).items():
        command += ["--env", f"{key}={value}"]
    deployed = subprocess.run(command, capture_output=True, text=True)
    if deployed.returncode:
        sys.exit(f"cannot deploy {name}: {deployed.stderr.strip()}")
    return json.loads(deployed.stdout)["FunctionArn"]


def allow(function, service, source_arn):
    """Let a service invoke a function for one bucket, topic or rule."""
    lambda_ = boto3.client("lambda")
    with suppress(lambda_.exceptions.ResourceConflictException):  # it may already
        lambda_.add_permission(
            FunctionName=function,
            StatementId=f"{service}-{source_arn.rpartition(':')[2]}",
            Action="lambda:InvokeFunction",
            Principal=f"{service}.amazonaws.com",
            SourceArn=source_arn,
            SourceAccount=ACCOUNT,
        )


def poll(function, source_arn, **settings):
    """Have a queue or stream polled for a function, with these settings from now on."""
    lambda_ = boto3.client("lambda")
    found = lambda_.list_event_source_mappings(FunctionName=function, EventSourceArn=source_arn)
    if found["EventSourceMappings"]:
        return
    lambda_.create_event_source_mapping(
        FunctionName=function, EventSourceArn=source_arn, **settings
    )


def bucket(name):
    """Make a bucket, if it is not there, and return its name."""
    s3 = boto3.client("s3")
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name, **({} if REGION == "us-east-1" else elsewhere))
    return name


def queue(name, **attributes):
    """Make a queue and return its URL and ARN."""
    url = boto3.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def received(queue_url):
    """Take the next message from a queue: its body, as JSON."""
    sqs = boto3.client("sqs")
    messages = sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=1).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return json.loads(message["Body"])
    return None


def eventually(look):
    """Return what `look` finds, once it finds something."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            sys.exit(f"nothing was found within {WAIT_SECONDS} seconds")
        time.sleep(0.2)
    return found


def require(true, otherwise):
    """End the check with what is wrong, unless all is well."""
    if not true:
        sys.exit(otherwise)


def folder_of(script):
    return Path(script).resolve().parent
