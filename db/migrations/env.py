"""Run migrations on the connection, and inside the transaction, of the caller."""

from alembic import context

from db.schema import VERSION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,  # SQLite cannot alter a column; its tables are copied
)
with context.begin_transaction():
    context.run_migrations()
