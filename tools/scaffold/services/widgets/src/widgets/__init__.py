"""Widgets: published, revised and withdrawn over a REST API; every change is one event."""
