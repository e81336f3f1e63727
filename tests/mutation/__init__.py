"""Guards are removed one at a time, and the tests that should notice it run.

``python -m tests.mutation`` removes each guard of the code (guards.py), the policies and other
locks of each relation (database.py), and the tenant from each join of a model (models.py) and from
each predicate of a statement of the service (tests.unit.test_tenant_predicates).
"""

# The variable with the name of the template databases that a mutated copy uses.
TEMPLATES = "MUTATION_TEMPLATES"
