"""Jobs, stages and results: REST and gRPC API, coordinator, relay, sweeper."""
