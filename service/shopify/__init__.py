"""Shopify: reading a shop's segments, customers and orders, or its orders from a CSV file."""
