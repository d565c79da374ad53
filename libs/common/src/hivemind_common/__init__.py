"""What every Hivemind service stands on; no business rule of one service."""
