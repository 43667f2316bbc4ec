"""Photos into the vector store.

::

    app, tasks       the worker: Celery delivers the stages of runs
      run            plan, fill and publish, each under a lease                 (plain domain)
        filling      one shard: read, clean, embed, upsert, record; resumable inside
          picking    what is left out because the same is there already
        rows         port: a source of numbered rows -> photo_source, vector_source, world_source (opening chooses)
          offsets    where each row lies: made once, kept, mapped
        stages       port: the stage protocol   -> grpc_stages.GrpcStages
    runs_command     g3 ingest run, status, list, cancel, rejects
    command          the command line: folder and CSV to a report
      ingest         clean, embed, upsert, side by side and resumable      (plain domain)
        sources      which photos there are: a CSV, or a folder with EXIF GPS
        photos       one photo's bytes, coordinates and place
        embedder     port: photos to vectors        -> grpc_embedder.GrpcEmbedder
        references   port: the reference collection -> grpc_references.GrpcReferences
"""
