"""Privacy requests: export or erase a person's data, or erase a tenant; each leaves a receipt.

DECISIONS.md says what stays of an erased customer's orders, and why nothing brings the person back.
"""
