"""Keep the bill of an account small: one job for each event, at the time that the event names.

{"job": "clean" | "report" | "stop" | "start", "time": "2026-11-23T19:00:00Z"}

The time comes with the event, because a schedule knows when it was due, a retry is late,
and a test wants to be three years older. Nothing is changed when "dry_run" is true.
"""

import json
import os
from datetime import UTC, datetime, timedelta

import boto3
from botocore.exceptions import ClientError

SNAPSHOT_AGE = timedelta(days=3 * 365)
VOLUME_AGE = timedelta(days=7)
IDLE_DAYS = 7
IDLE_CPU_PERCENT = 2.0
IDLE_MEMORY_PERCENT = 20.0
SCHEDULED = {"Name": "tag:Schedule", "Values": [os.environ.get("SCHEDULE_TAG", "office-hours")]}
KEPT = "Keep"
"""Whatever has this tag is let alone."""

EC2 = boto3.client("ec2")
CLOUDWATCH = boto3.client("cloudwatch")


def handler(event, context):
    time = datetime.fromisoformat(event["time"])
    account = context.invoked_function_arn.split(":")[4]
    result = JOBS[event["job"]](time, account, dry_run=event.get("dry_run", False))
    print(json.dumps({"job": event["job"], "time": event["time"], **result}))
    return result


def clean(time, account, *, dry_run):
    """Remove snapshots that are too old, and volumes that nothing uses."""
    in_images = snapshots_in_images(account)
    mine = {"Name": "owner-id", "Values": [account]}
    snapshots = [
        snapshot["SnapshotId"]
        for snapshot in pages("describe_snapshots", "Snapshots", Filters=[mine])
        if time - snapshot["StartTime"] > SNAPSHOT_AGE
        and snapshot["SnapshotId"] not in in_images
        and not is_kept(snapshot)
    ]
    unattached = {"Name": "status", "Values": ["available"]}
    volumes = [
        volume["VolumeId"]
        for volume in pages("describe_volumes", "Volumes", Filters=[unattached])
        if time - volume["CreateTime"] > VOLUME_AGE and not is_kept(volume)
    ]
    if not dry_run:
        snapshots = [each for each in snapshots if done(EC2.delete_snapshot, SnapshotId=each)]
        volumes = [each for each in volumes if done(EC2.delete_volume, VolumeId=each)]
    return {"snapshots": snapshots, "volumes": volumes}


def done(action, **parameters):
    """One thing that cannot be removed, or has just gone, does not keep the rest from going."""
    try:
        action(**parameters)
    except ClientError as exc:
        print(f"{parameters}: {exc}")
        return False
    return True


def report(time, account, *, dry_run):
    """Name the running instances that did next to nothing for a week."""
    running = {"Name": "instance-state-name", "Values": ["running"]}
    idle = []
    for instance in instances(running):
        name = instance["InstanceId"]
        cpu = highest(time, "AWS/EC2", "CPUUtilization", name)
        memory = highest(time, "CWAgent", "mem_used_percent", name)
        # An instance without figures of its CPU may be new; memory is known where an agent runs.
        if cpu is None or cpu >= IDLE_CPU_PERCENT:
            continue
        if memory is None or memory < IDLE_MEMORY_PERCENT:
            idle.append({"instance": name, "cpu": cpu, "memory": memory})
    return {"idle": idle}


def stop(time, account, *, dry_run):
    stopped = [each["InstanceId"] for each in instances(SCHEDULED, state("running"))]
    if stopped and not dry_run:
        EC2.stop_instances(InstanceIds=stopped)
    return {"stopped": stopped}


def start(time, account, *, dry_run):
    started = [each["InstanceId"] for each in instances(SCHEDULED, state("stopped"))]
    if started and not dry_run:
        EC2.start_instances(InstanceIds=started)
    return {"started": started}


JOBS = {"clean": clean, "report": report, "stop": stop, "start": start}


def pages(operation, key, **parameters):
    for page in EC2.get_paginator(operation).paginate(**parameters):
        yield from page[key]


def instances(*filters):
    for reservation in pages("describe_instances", "Reservations", Filters=list(filters)):
        yield from reservation["Instances"]


def state(name):
    return {"Name": "instance-state-name", "Values": [name]}


def snapshots_in_images(account):
    """Snapshots that machine images are made of: they cannot be removed, and should not be."""
    return {
        mapping["Ebs"]["SnapshotId"]
        for image in pages("describe_images", "Images", Owners=[account])
        for mapping in image.get("BlockDeviceMappings", [])
        if "SnapshotId" in mapping.get("Ebs", {})
    }


def is_kept(resource):
    return any(tag["Key"] == KEPT for tag in resource.get("Tags", []))


def highest(time, namespace, metric, instance):
    """The highest average of an hour in the days before, or None where nothing was measured."""
    found = CLOUDWATCH.get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": "InstanceId", "Value": instance}],
        StartTime=time.astimezone(UTC) - timedelta(days=IDLE_DAYS),
        EndTime=time.astimezone(UTC),
        Period=3600,
        Statistics=["Average"],
    )
    return max((point["Average"] for point in found["Datapoints"]), default=None)
