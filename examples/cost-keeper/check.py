"""Make what costs money, and see each rule let alone or remove the right thing at the right time."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploy import FUNCTION, TIMES, ZONE
from deploying import require

EC2, CLOUDWATCH, LAMBDA = (boto3.client(name) for name in ("ec2", "cloudwatch", "lambda"))
NOW = datetime.now(UTC)


def main():
    check_schedules()
    check_snapshots()
    check_volumes()
    tagged, *others = launched = launch(4)
    try:
        check_office_hours(tagged, others)
        check_idle(*others)
    finally:
        EC2.terminate_instances(InstanceIds=launched)
    print("old snapshots and loose volumes went, idle instances were named, the tagged one slept")


def keep(job, time=NOW, **more):
    event = {"job": job, "time": time.isoformat(), **more}
    answer = LAMBDA.invoke(FunctionName=FUNCTION, Payload=json.dumps(event))
    result = json.loads(answer["Payload"].read())
    require("FunctionError" not in answer, result)
    return result


def check_schedules():
    scheduler = boto3.client("scheduler")
    for job, expression in TIMES.items():
        schedule = scheduler.get_schedule(Name=f"{FUNCTION}-{job}")
        require(schedule["ScheduleExpression"] == expression, schedule)
        require(schedule["ScheduleExpressionTimezone"] == ZONE, schedule)


def check_snapshots():
    volume = EC2.create_volume(AvailabilityZone=a_zone(), Size=1)["VolumeId"]
    plain, kept, base = (EC2.create_snapshot(VolumeId=volume)["SnapshotId"] for _ in range(3))
    EC2.create_tags(Resources=[kept, base, volume], Tags=[{"Key": "Keep", "Value": "yes"}])
    used = snapshot_of_image(base)
    young = keep("clean", NOW + timedelta(days=3 * 365 - 1))["snapshots"]
    require(not {plain, kept, used} & {*young}, f"removed before three years: {young}")
    old = NOW + timedelta(days=3 * 365 + 1)
    require(plain in keep("clean", old, dry_run=True)["snapshots"], "a dry run names nothing")
    removed = keep("clean", old)["snapshots"]
    require({plain, kept, used} & {*removed} == {plain}, f"removed after three years: {removed}")
    account = boto3.client("sts").get_caller_identity()["Account"]
    mine = EC2.describe_snapshots(Filters=[{"Name": "owner-id", "Values": [account]}])["Snapshots"]
    left = {each["SnapshotId"] for each in mine}
    require({plain, kept, used} & left == {kept, used}, "the snapshots that are left are wrong")


def snapshot_of_image(snapshot):
    """Register an image, and return the snapshot that it is made of."""
    image = EC2.register_image(
        Name=f"image-of-{snapshot}",
        RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}],
    )
    [shown] = EC2.describe_images(ImageIds=[image["ImageId"]])["Images"]
    return shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]


def check_volumes():
    loose, attached = (
        EC2.create_volume(AvailabilityZone=a_zone(), Size=1)["VolumeId"] for _ in range(2)
    )
    [instance] = launch(1)
    EC2.attach_volume(VolumeId=attached, InstanceId=instance, Device="/dev/sdf")
    young = keep("clean", NOW + timedelta(days=6))["volumes"]
    require(loose not in young, "a volume of six days was removed")
    removed = keep("clean", NOW + timedelta(days=8))["volumes"]
    require({loose, attached} & {*removed} == {loose}, f"removed volumes: {removed}")
    left = {each["VolumeId"] for each in EC2.describe_volumes()["Volumes"]}
    require({loose, attached} & left == {attached}, "the volumes that are left are wrong")
    EC2.terminate_instances(InstanceIds=[instance])


def check_office_hours(tagged, others):
    EC2.create_tags(Resources=[tagged], Tags=[{"Key": "Schedule", "Value": "office-hours"}])
    ours = {tagged, *others}
    require(ours & {*keep("stop")["stopped"]} == {tagged}, "the evening stopped the wrong ones")
    require(state_of(tagged) == "stopped", f"in the night it is {state_of(tagged)}")
    require(all(state_of(each) == "running" for each in others), "an untagged one was stopped")
    require(tagged not in keep("stop")["stopped"], "what is stopped was stopped again")
    require(ours & {*keep("start")["started"]} == {tagged}, "the morning started the wrong ones")
    require(state_of(tagged) == "running", f"in the day it is {state_of(tagged)}")


def check_idle(idle, busy, full):
    for instance, cpu, memory in ((idle, 0.5, 10), (busy, 60, 10), (full, 0.5, 85)):
        measured("AWS/EC2", "CPUUtilization", instance, cpu)
        measured("CWAgent", "mem_used_percent", instance, memory)
    found = {each["instance"]: each for each in keep("report")["idle"]}
    require({idle, busy, full} & {*found} == {idle}, f"idle: {found}")
    require(found[idle]["cpu"] == 0.5, found[idle])
    require(found[idle]["memory"] == 10, found[idle])
    later = keep("report", NOW + timedelta(days=30))["idle"]
    require(idle not in {each["instance"] for each in later}, "no figures were taken for idleness")


def launch(count):
    image = EC2.describe_images()["Images"][0]["ImageId"]
    launched = EC2.run_instances(ImageId=image, MinCount=count, MaxCount=count)["Instances"]
    return [instance["InstanceId"] for instance in launched]


def a_zone():
    return EC2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]


def state_of(instance):
    [reservation] = EC2.describe_instances(InstanceIds=[instance])["Reservations"]
    return reservation["Instances"][0]["State"]["Name"]


def measured(namespace, metric, instance, value):
    CLOUDWATCH.put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": "InstanceId", "Value": instance}],
                "Timestamp": NOW - timedelta(hours=2),
                "Value": value,
            }
        ],
    )


if __name__ == "__main__":
    main()
