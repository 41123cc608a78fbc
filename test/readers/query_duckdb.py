"""Opens one sealed segment with DuckDB's Avro reader and prints what plain SQL sees, as JSON.

  python query_duckdb.py SEGMENT.avro
"""

import json
import sys

import duckdb
from duckdb_extensions import import_extension

import_extension("avro")
connection = duckdb.connect()
connection.load_extension("avro")
relation = connection.sql("select * from read_avro(?)", params=[sys.argv[1]])
columns = relation.columns
records, first, last = connection.sql(
    'select count(*), min("offset"), max("offset") from read_avro(?)', params=[sys.argv[1]]
).fetchone()
services = connection.sql(
    "select value.u2.serviceName as service, count(*) as n from read_avro(?) "
    "group by service order by n desc, service",
    params=[sys.argv[1]],
).fetchall()
json.dump(
    {
        "columns": columns,
        "records": records,
        "firstOffset": first,
        "lastOffset": last,
        "services": services,
    },
    sys.stdout,
)
