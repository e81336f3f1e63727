"""Privacy: what is held of a person is told or erased on request; each request leaves a receipt.

See DECISIONS.md for what stays of an erased customer's orders and why nothing brings them back.
"""
