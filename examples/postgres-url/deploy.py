"""A secret, a table, a function that has neither in its environment, and its URL.

The database is named by libpq's variables: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import boto3
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploying import deploy, folder_of

FUNCTION, SECRET = "example-visits", "example-visits-database"
TABLE = "CREATE TABLE IF NOT EXISTS visit (name text PRIMARY KEY, count integer NOT NULL)"


def main():
    with psycopg.connect() as connection:
        connection.execute(TABLE)
    store_secret(
        {
            "host": os.environ.get("PGHOST", "localhost"),
            "port": os.environ.get("PGPORT", "5432"),
            "dbname": os.environ.get("PGDATABASE", "postgres"),
            "username": os.environ.get("PGUSER", "postgres"),
            "password": os.environ.get("PGPASSWORD", ""),
        }
    )
    deploy(folder_of(__file__) / "visits", FUNCTION, variables={"SECRET": SECRET})
    print(public_url())


def store_secret(secret):
    secrets = boto3.client("secretsmanager")
    try:
        secrets.create_secret(Name=SECRET, SecretString=json.dumps(secret))
    except secrets.exceptions.ResourceExistsException:
        secrets.put_secret_value(SecretId=SECRET, SecretString=json.dumps(secret))


def public_url():
    """Give the function a URL that anybody may call: both permissions are needed."""
    lambda_ = boto3.client("lambda")
    everybody = {"FunctionName": FUNCTION, "Principal": "*"}
    with suppress(lambda_.exceptions.ResourceConflictException):
        lambda_.add_permission(
            StatementId="url",
            Action="lambda:InvokeFunctionUrl",
            FunctionUrlAuthType="NONE",
            **everybody,
        )
        lambda_.add_permission(
            StatementId="function",
            Action="lambda:InvokeFunction",
            InvokedViaFunctionUrl=True,
            **everybody,
        )
    with suppress(lambda_.exceptions.ResourceConflictException):
        lambda_.create_function_url_config(FunctionName=FUNCTION, AuthType="NONE")
    return lambda_.get_function_url_config(FunctionName=FUNCTION)["FunctionUrl"]


if __name__ == "__main__":
    main()
