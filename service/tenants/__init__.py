"""Tenants, their API tokens and the rotation of encryption keys."""
