"""Runs the migrations on the connection that `database.migrate` holds, in its transaction."""

from alembic import context

from watchword.authority.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
