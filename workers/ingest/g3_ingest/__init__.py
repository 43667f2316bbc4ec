"""Photos into the vector store."""
