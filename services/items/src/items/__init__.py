"""Things that belong to a room or stand alone: published, revised and withdrawn over a REST API; every change is one event."""
