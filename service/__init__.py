"""Quintile's service: the conversations with Shopify, Klaviyo and people.

Scores, segments and sample matches are computed by dbt, in SQL, and nowhere in this package.
"""
