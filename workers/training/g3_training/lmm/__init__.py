"""The demo LMM: a small LLaVA (CLIP vision, Llama text) that reads a photo and a prompt's references.

::

    lessons        what retrieval finds for each photo: the prompts that it is taught with
    tokens         its tokenizer: whole sentences, numbers in few tokens, names, bytes for the rest
    architecture   its shape, in the classes that transformers and vLLM load
    seeing         phase 1: the vision tower learns the alignment model's vectors
    answering      phase 2: the whole model learns to answer with coordinates
    packaging      the folder that vLLM and g3_world.lmm load
    examining      how well it answers, against the nearest reference
"""
