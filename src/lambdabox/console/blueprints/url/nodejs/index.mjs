// Answer HTTP requests: the event is a function URL's, payload format 2.0.

export const handler = async (event) => {
  const { method } = event.requestContext.http;
  const name = event.queryStringParameters?.name ?? "world";
  console.log(method, event.rawPath);
  return answer(200, {
    greeting: `Hello, ${name}!`,
    path: event.rawPath,
    time: new Date().toISOString(),
  });
};

const answer = (statusCode, body) => ({
  statusCode,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});
