"""What the plugin costs: plain scripts, each against a named alternative."""
