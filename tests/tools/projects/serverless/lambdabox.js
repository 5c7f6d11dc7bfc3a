// Version 3 brings an SDK that does not know AWS_ENDPOINT_URL; this plugin tells it.
class Lambdabox {
  constructor(serverless) {
    const { sdk } = serverless.getProvider('aws');
    sdk.config.update({ endpoint: process.env.AWS_ENDPOINT_URL, s3ForcePathStyle: true });
  }
}

module.exports = Lambdabox;
