// An application as the CDK's users write them.
const { App, CfnOutput, Duration, NestedStack, RemovalPolicy, Stack } = require('aws-cdk-lib');
const apigateway = require('aws-cdk-lib/aws-apigatewayv2');
const { HttpLambdaIntegration } = require('aws-cdk-lib/aws-apigatewayv2-integrations');
const dynamodb = require('aws-cdk-lib/aws-dynamodb');
const events = require('aws-cdk-lib/aws-events');
const targets = require('aws-cdk-lib/aws-events-targets');
const lambda = require('aws-cdk-lib/aws-lambda');
const { SqsEventSource } = require('aws-cdk-lib/aws-lambda-event-sources');
const s3 = require('aws-cdk-lib/aws-s3');
const { LambdaDestination } = require('aws-cdk-lib/aws-s3-notifications');
const sns = require('aws-cdk-lib/aws-sns');
const sqs = require('aws-cdk-lib/aws-sqs');

const word = process.env.WORD || 'one';

class Inner extends NestedStack {
  constructor(scope, id) {
    super(scope, id);
    this.topic = new sns.Topic(this, 'Topic', { displayName: word });
  }
}

class Application extends Stack {
  constructor(scope, id, props) {
    super(scope, id, props);
    const words = new lambda.LayerVersion(this, 'Words', { code: lambda.Code.fromAsset('layer') });
    const items = new dynamodb.Table(this, 'Items', {
      partitionKey: { name: 'id', type: dynamodb.AttributeType.STRING },
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const hello = new lambda.Function(this, 'Hello', {
      runtime: lambda.Runtime.PYTHON_3_11,
      handler: 'app.handler',
      code: lambda.Code.fromAsset('src'),
      layers: [words],
      timeout: Duration.seconds(20),
      environment: { WORD: word, TABLE: items.tableName },
    });
    items.grantReadWriteData(hello);
    const live = new lambda.Alias(this, 'Live', { aliasName: 'live', version: hello.currentVersion });
    const url = hello.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.NONE });
    const jobs = new sqs.Queue(this, 'Jobs', { visibilityTimeout: Duration.seconds(120) });
    live.addEventSource(new SqsEventSource(jobs, { batchSize: 1 }));
    new events.Rule(this, 'Hourly', {
      schedule: events.Schedule.rate(Duration.hours(1)),
      targets: [new targets.LambdaFunction(live)],
    });
    const uploads = new s3.Bucket(this, 'Uploads', { removalPolicy: RemovalPolicy.DESTROY });
    uploads.addEventNotification(s3.EventType.OBJECT_CREATED, new LambdaDestination(hello));
    const api = new apigateway.HttpApi(this, 'Api');
    api.addRoutes({
      path: '/items/{id}',
      methods: [apigateway.HttpMethod.GET],
      integration: new HttpLambdaIntegration('ToHello', hello),
    });
    const inner = new Inner(this, 'Inner');

    new CfnOutput(this, 'Function', { value: hello.functionName });
    new CfnOutput(this, 'Url', { value: url.url });
    new CfnOutput(this, 'Endpoint', { value: api.apiEndpoint });
    new CfnOutput(this, 'Queue', { value: jobs.queueUrl });
    new CfnOutput(this, 'Bucket', { value: uploads.bucketName });
    new CfnOutput(this, 'Table', { value: items.tableName });
    new CfnOutput(this, 'Topic', { value: inner.topic.topicArn });
  }
}

const env = { account: process.env.CDK_DEFAULT_ACCOUNT, region: process.env.CDK_DEFAULT_REGION };
new Application(new App(), 'CdkApp', { env });
