"""LMM candidates through an OpenAI-compatible endpoint."""
