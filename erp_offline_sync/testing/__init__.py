"""Public doubles: a memory store, a stand-in central, a fault proxy, a frozen clock.

They keep the same contracts as the adapters (tests/contract), so that other apps can test against them.
"""
