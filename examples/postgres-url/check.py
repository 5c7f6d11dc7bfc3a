"""Visit the URL: counts go up, the connection stays, and nothing of the password shows."""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import boto3
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploy import FUNCTION
from deploying import ENDPOINT, require

LAMBDA = boto3.client("lambda")
# By path, for where *.localhost does not lead to this machine.
URL_ID = LAMBDA.get_function_url_config(FunctionName=FUNCTION)["FunctionUrl"].split("//")[1]
URL = f"{ENDPOINT}/_lambdabox/url/{URL_ID.partition('.')[0]}/"


def main():
    name = f"Ada & Søn {uuid.uuid4().hex[:8]}"
    visits = [get(name=name, limit=1) for _ in range(3)]
    require([status for status, _ in visits] == [200] * 3, visits)
    require([body["visits"] for _, body in visits] == [1, 2, 3], visits)
    require(len(visits[0][1]["most"]) == 1, visits)
    connections = {body["connection"] for _, body in visits}
    require(len(connections) == 1, f"three visits took the connections {connections}")

    require(get(name="")[0] == 400, "a visit without a name was counted")
    require(get(name=name, limit="many")[0] == 400, "a limit of 'many' was accepted")

    [lost] = connections
    with psycopg.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (lost,))
    status, body = get(name=name)
    require((status, body["visits"]) == (200, 4), f"after a lost connection: {status} {body}")
    require(body["connection"] != lost, "the connection was not lost at all")

    variables = LAMBDA.get_function_configuration(FunctionName=FUNCTION)["Environment"]["Variables"]
    require([*variables] == ["SECRET"], f"the environment has {[*variables]}")
    print(f"three visits over one connection ({lost}), and a fourth after that was cut")


def get(**parameters):
    try:
        with urllib.request.urlopen(f"{URL}?{urllib.parse.urlencode(parameters)}") as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


if __name__ == "__main__":
    main()
