"""The types of resources that there are."""

from collections.abc import Mapping

from lambdabox.stacks.resources import (
    buckets,
    custom,
    function_parts,
    functions,
    gateways,
    identity,
    keeping,
    messaging,
    scheduling,
    tables,
)
from lambdabox.stacks.resources.kinds import ResourceKind

KINDS: Mapping[str, ResourceKind] = {
    "AWS::ApiGateway::Account": gateways.ACCOUNT,
    "AWS::ApiGateway::Authorizer": gateways.AUTHORIZER,
    "AWS::ApiGateway::Deployment": gateways.DEPLOYMENT,
    "AWS::ApiGateway::Method": gateways.METHOD,
    "AWS::ApiGateway::Resource": gateways.RESOURCE,
    "AWS::ApiGateway::RestApi": gateways.REST_API,
    "AWS::ApiGateway::Stage": gateways.STAGE,
    "AWS::ApiGatewayV2::Api": gateways.HTTP_API,
    "AWS::ApiGatewayV2::Authorizer": gateways.HTTP_AUTHORIZER,
    "AWS::ApiGatewayV2::Integration": gateways.INTEGRATION,
    "AWS::ApiGatewayV2::Route": gateways.ROUTE,
    "AWS::ApiGatewayV2::Stage": gateways.HTTP_STAGE,
    "AWS::CDK::Metadata": custom.NOTE,
    "AWS::CloudFormation::CustomResource": custom.CUSTOM,
    "AWS::CloudFormation::WaitConditionHandle": custom.NOTE,
    "AWS::DynamoDB::Table": tables.TABLE,
    "AWS::ECR::Repository": keeping.REPOSITORY,
    "AWS::Events::EventBus": scheduling.BUS,
    "AWS::Events::Rule": scheduling.RULE,
    "AWS::IAM::ManagedPolicy": identity.MANAGED_POLICY,
    "AWS::IAM::Policy": identity.POLICY,
    "AWS::IAM::Role": identity.ROLE,
    "AWS::KMS::Alias": keeping.KEY_ALIAS,
    "AWS::KMS::Key": keeping.KEY,
    "AWS::Kinesis::Stream": messaging.STREAM,
    "AWS::Lambda::Alias": functions.ALIAS,
    "AWS::Lambda::CodeSigningConfig": function_parts.CODE_SIGNING,
    "AWS::Lambda::EventInvokeConfig": function_parts.EVENT_INVOKE,
    "AWS::Lambda::EventSourceMapping": function_parts.MAPPING,
    "AWS::Lambda::Function": functions.FUNCTION,
    "AWS::Lambda::LayerVersion": function_parts.LAYER_VERSION,
    "AWS::Lambda::LayerVersionPermission": function_parts.LAYER_PERMISSION,
    "AWS::Lambda::Permission": function_parts.PERMISSION,
    "AWS::Lambda::Url": function_parts.URL,
    "AWS::Lambda::Version": functions.VERSION,
    "AWS::Logs::LogGroup": keeping.LOG_GROUP,
    "AWS::Logs::SubscriptionFilter": keeping.SUBSCRIPTION_FILTER,
    "AWS::S3::Bucket": buckets.BUCKET,
    "AWS::S3::BucketPolicy": buckets.BUCKET_POLICY,
    "AWS::SNS::Subscription": messaging.SUBSCRIPTION,
    "AWS::SNS::Topic": messaging.TOPIC,
    "AWS::SNS::TopicPolicy": messaging.TOPIC_POLICY,
    "AWS::SQS::Queue": messaging.QUEUE,
    "AWS::SQS::QueuePolicy": messaging.QUEUE_POLICY,
    "AWS::SSM::Parameter": keeping.PARAMETER,
    "AWS::Scheduler::Schedule": scheduling.SCHEDULE,
    "AWS::Scheduler::ScheduleGroup": scheduling.SCHEDULE_GROUP,
    "AWS::SecretsManager::Secret": keeping.SECRET,
    "AWS::StepFunctions::StateMachine": scheduling.STATE_MACHINE,
}


def kind_of(type: str) -> ResourceKind | None:
    return custom.CUSTOM if type.startswith("Custom::") else KINDS.get(type)
