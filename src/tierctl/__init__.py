"""Blue/green deployment for software that lives on a filesystem."""

__version__ = "0.1.0"
