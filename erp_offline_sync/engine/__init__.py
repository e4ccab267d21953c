"""The pure engine: decides what an outbox does next.

Standard library only; no clock, no randomness, no input or output. Everything it needs from outside
comes through the ports in `ports.py`; everything it says is a value of `model.py`.
"""
