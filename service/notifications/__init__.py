"""Outgoing webhooks: notifications to tenants when a Klaviyo sync fails or works again."""
