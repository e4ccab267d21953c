"""A shop small enough to read: the doctypes that the site tests save, sell and cancel on both sites."""

__version__ = "0.1.0"
