"""Count visits in PostgreSQL: GET /?name=Ada&limit=3.

The connection is opened at the cold start and kept: a warm invocation sends its queries and
nothing else. The password is fetched then too, from Secrets Manager.
"""

import json
import os

import boto3
import psycopg
from psycopg.rows import dict_row

LONGEST_NAME, MOST = 100, 50


def connect():
    secrets = boto3.client("secretsmanager")
    secret = json.loads(secrets.get_secret_value(SecretId=os.environ["SECRET"])["SecretString"])
    return psycopg.connect(
        host=secret["host"],
        port=secret["port"],
        dbname=secret["dbname"],
        user=secret["username"],
        password=secret["password"],
        connect_timeout=5,
        autocommit=True,
        row_factory=dict_row,
    )


CONNECTION = connect()


def handler(event, context):
    parameters = event.get("queryStringParameters") or {}
    name = parameters.get("name", "").strip()
    if not 0 < len(name) <= LONGEST_NAME:
        return answer(400, {"error": f"name must have 1 to {LONGEST_NAME} characters"})
    try:
        limit = int(parameters.get("limit", "5"))
    except ValueError:
        return answer(400, {"error": f"limit must be a number, not {parameters['limit']!r}"})
    return answer(200, visit(name, min(max(limit, 1), MOST)))


def visit(name, limit):
    """Run the queries. A connection that was closed meanwhile is opened again, once."""
    global CONNECTION
    try:
        return queries(CONNECTION, name, limit)
    except psycopg.OperationalError:
        CONNECTION = connect()
        return queries(CONNECTION, name, limit)


def queries(connection, name, limit):
    with connection.transaction():
        count = connection.execute(
            "INSERT INTO visit AS v VALUES (%s, 1)"
            " ON CONFLICT (name) DO UPDATE SET count = v.count + 1 RETURNING count",
            (name,),
        ).fetchone()["count"]
        most = connection.execute(
            "SELECT name, count FROM visit ORDER BY count DESC, name LIMIT %s", (limit,)
        ).fetchall()
    return {
        "name": name,
        "visits": count,
        "most": most,
        "connection": connection.info.backend_pid,
    }


def answer(status, body):
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }
