"""Similarity of candidate coordinates to a photo over gRPC (G3, section 3.3).

::

    app             composition root
      servicer      converts, calls, converts
        verification   which vectors and candidates count       (plain domain)
        galleries      which places of a gallery fit best       (plain domain)
          gallery_shelf, gallery_vectors, gallery_search   on disk, computed once, searched exactly
          scorer       port: cosines and vectors of valid coordinates  -> torch_scorer.TorchScorer
"""
