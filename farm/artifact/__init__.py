"""A candidate compiled: passes and code generator united."""
