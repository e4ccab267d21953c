"""What the commands end with, on a bench and without one. 2 is click's own for wrong usage.

Imported with every bench call, so it imports nothing.
"""

DONE, REFUSED, WRONG_USAGE, NEEDS_PERSON, OFFLINE = range(5)
