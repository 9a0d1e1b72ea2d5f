"""What Atrium's services share."""
