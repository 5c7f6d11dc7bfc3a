"""Open a connection once and use it in every invocation of this execution environment.

Code outside the handler runs once, at the cold start. What it makes stays for the
warm invocations that follow: a database connection, an HTTP session, a loaded model.
SQLite stands here for any database; with PostgreSQL the line would read
`CONNECTION = psycopg.connect(os.environ["DATABASE_URL"])`.
"""

import sqlite3
import uuid

CONNECTION = sqlite3.connect(":memory:")
CONNECTION.execute("CREATE TABLE visit (visitor TEXT NOT NULL)")
CONNECTION_ID = str(uuid.uuid4())


def lambda_handler(event, context):
    with CONNECTION:
        CONNECTION.execute("INSERT INTO visit VALUES (?)", (event.get("visitor", "nobody"),))
    (uses,) = CONNECTION.execute("SELECT count(*) FROM visit").fetchone()
    return {"connection": CONNECTION_ID, "uses": uses}
