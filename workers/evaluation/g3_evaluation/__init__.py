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
      run_command      a query set through the public API, and the report of what came
        asks             the ways in which a photo is put to the server
        job_run          photos to jobs, jobs to outcomes               port: Geolocator  -> g3_client.AsyncG3
        run_folder, journal, outcomes                           what is kept, on the disk line by line
        rescoring        another answer from what was said already, by g3_choice
        pooling          candidates for the fitting of the consensus
        entries, run_data                                       the rows of the tables, and how far each is off
        curves, confidence, failing, leakage, costs, case_study, findings       what was found, as data
        run_sections, accuracy_sections, evidence_sections, plots, blocks       as people read it
      score_command    anybody's predictions to figures, without services
        prediction_file, prediction_columns                     what the file says
        scoring, score_report                                   what it is worth
        published        the figures that the poster and later papers print
"""
