"""Telling a tenant's own systems what has become of its syncs."""
