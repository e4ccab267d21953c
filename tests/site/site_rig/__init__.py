"""What runs real Frappe sites for the tests: shadow benches, their services, and the tests' side of them.

Two halves. `driver`, `shadow` and `services` run under any Python ≥ 3.10 and import nothing but the standard
library. `inside`, `client`, `agent`, `crash` and `wsgi` run under a bench's own Python. They meet in one JSON
file (SITE_RIG names it) and one socket (SITE_RIG_CONTROL is its file descriptor).
"""
