"""Python SDK and the g3 command."""
