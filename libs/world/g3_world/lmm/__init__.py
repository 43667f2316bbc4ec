"""`python -m g3_world.lmm`: a small OpenAI-compatible server that runs a LLaVA on a processor, for the demo and tests.

::

    openai        what a request may hold, and how an answer is told
    rest          the HTTP surface: bounded, refusing what it does not do
    engine        one thread that computes: takes what waits, answers it together
    writing       samples of one batch, token by token
    prefixes      what was computed of earlier prompts and begins later ones
    model, forms  the ports: a language model, and a form that answers are held to

Adapters: `transformers_model`, `transformers_tokens`, `llguidance_form`. It is no vLLM: one process, a few cores, a
model of some million weights.
"""
