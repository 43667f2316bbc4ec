"""LMM candidates through an OpenAI-compatible endpoint.

::

    tasks                a bell rings for a stage
      generation         claim, ask what is missing, record, complete      (plain domain)
        round            the K prompts of one claim; seeds, retries
        berths           how many stages are in hand
        stages           port: the stage protocol     -> grpc_stages.GrpcStages
        sampler          port: the LMM                -> openai_sampler.OpenAISampler
                             endpoint                 the addresses of the server
                             completion               what the endpoint answered
                             forms, form_finder       which form of an answer it enforces
                             dialect                  what else of a request it understands
                             breaker, window          whether it is asked at all, and how often at once
                             server_metrics           what it says of itself
"""
