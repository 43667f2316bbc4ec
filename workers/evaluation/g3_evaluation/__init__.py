"""How well photos are placed.

::

    command            the command line, and what it chooses
      retrieval_run    a query set to a report of retrieval quality     (plain domain)
        query_sets     which photos there are, and where they were taken
        photos         one photo's bytes, without metadata
        embedding_run  photos to vectors, kept as they come
        reference_map  where the references of a collection lie
        methods        from vectors to an answer for each photo, by each method
        metrics        accuracy with intervals, paired differences
        services       ports: Embedder, References, Verifier  -> grpc_embedder, grpc_references, grpc_verifier
      report           what was found, as data
        report_markdown, report_table, report_files             as people read it
      score_command    anybody's predictions to figures, without services
        prediction_file, prediction_columns                     what the file says
        scoring, score_report                                   what it is worth
        published        the figures that the poster and later papers print
"""
