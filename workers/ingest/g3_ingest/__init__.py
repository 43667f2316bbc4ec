"""Photos into the vector store.

::

    command          the command line: folder and CSV to a report
      ingest         clean, embed, upsert, side by side and resumable      (plain domain)
        sources      which photos there are: a CSV, or a folder with EXIF GPS
        photos       one photo's bytes, coordinates and place
        embedder     port: photos to vectors        -> grpc_embedder.GrpcEmbedder
        references   port: the reference collection -> grpc_references.GrpcReferences
"""
