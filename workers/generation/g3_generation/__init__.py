"""LMM candidates through an OpenAI-compatible endpoint.

::

    tasks            a bell rings for a stage
      generation     claim, ask what is missing, record, complete      (plain domain)
        stages       port: the stage protocol     -> grpc_stages.GrpcStages
        sampler      port: the LMM                -> openai_sampler.OpenAISampler
        prompts      the words of the K prompts
"""
