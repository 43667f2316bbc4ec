"""Similarity of candidate coordinates to a photo over gRPC (G3, section 3.3).

::

    app             composition root
      servicer      converts, calls, converts
        verification   which vectors and candidates count       (plain domain)
          scorer       port: cosines of valid coordinates  -> torch_scorer.TorchScorer
"""
