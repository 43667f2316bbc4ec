"""Image, text and GPS vectors over gRPC, dynamically batched."""
