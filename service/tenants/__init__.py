"""Tenants as operators manage them, their API tokens and the keys that seal their credentials."""
