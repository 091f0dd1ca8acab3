"""Which database server answers: the second witness of lost history, beside the marks of the log's entries.

After a failover another server answers, or the same one on another timeline. Whether something was lost then, only
the operator can know.
"""

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Witness(FunctionElement[str]):
    """The identity of the server that runs the statement; null on a standby, which knows what was, not what is.

    On PostgreSQL the cluster's system identifier and its timeline. A SQLite file has none: the empty text.
    """

    type = String()
    inherit_cache = True


@compiles(Witness, "sqlite")
def _of_sqlite(*_: object, **__: object) -> str:
    return "''"


@compiles(Witness, "postgresql")
def _of_postgresql(*_: object, **__: object) -> str:
    # The control file's own timeline changes with the first checkpoint after a promotion only; the name of the file
    # that is written now begins with the timeline that it belongs to.
    return (
        "CASE WHEN pg_is_in_recovery() THEN NULL ELSE"
        " (SELECT system_identifier FROM pg_control_system())::text"
        " || '/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END"
    )
