"""The composition root: the only file that chooses concrete parts."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

import uvicorn
from g3_kit import logs, process, settings
from g3_kit.errors import Rejected, Unavailable
from g3_kit.health import Health
from starlette.applications import Starlette

from g3_world.lmm.engine import Bounds, Engine
from g3_world.lmm.forms import Forms
from g3_world.lmm.llguidance_form import LlguidanceForms
from g3_world.lmm.metrics import Figures
from g3_world.lmm.questions import Question
from g3_world.lmm.rest import Served, build
from g3_world.lmm.settings import LmmSettings
from g3_world.lmm.transformers_model import TransformersModel
from g3_world.lmm.transformers_tokens import TransformersTokens
from g3_world.lmm.work import Work

_log = logs.get("g3_world.lmm.app")
_DRAIN_S = 20


def run() -> None:
    """Serve until SIGTERM."""
    told = settings.load(LmmSettings)
    health = Health()

    def begin(stack: ExitStack) -> None:
        start(told, health, stack)

    process.run("lmm", told, health, begin)


def start(told: LmmSettings, health: Health, stack: ExitStack) -> int:
    """The server, listening; its port. Raises Rejected for a folder that holds no such model, or a port taken."""
    if not (told.lmm_folder / "config.json").is_file():
        raise Rejected(f"G3_LMM_FOLDER: there is no model in {told.lmm_folder}")
    tokens = TransformersTokens(told.lmm_folder)
    model = TransformersModel(told.lmm_folder, threads=told.lmm_threads, cached_tokens=told.lmm_cached_tokens)
    forms = LlguidanceForms(tokens.tokenizer_json, tokens.ends, model.vocabulary)
    bounds = Bounds(told.lmm_waiting, told.lmm_samples, told.lmm_batch_tokens)
    engine = Engine(model, tokens, bounds, Figures(told.lmm_served_name))
    stack.callback(engine.close)
    health.add("engine", lambda: engine.problem)
    lay_out = _laying_out(tokens, forms, model.context)
    served = Served(told.lmm_served_name, lay_out, engine, health, told.lmm_max_body_bytes)
    port = _serve(told, build(served), stack)
    _log.info("listening", port=port, model=told.lmm_served_name)
    return port


def _laying_out(tokens: TransformersTokens, forms: Forms, context: int) -> Callable[[Question], Work]:
    def lay_out(question: Question) -> Work:
        prompt = tokens.prompt(question.messages)
        if not 0 < len(prompt) < context:
            raise Rejected(f"the prompt has {len(prompt)} tokens and the model's context {context}", field="messages")
        holds = forms.holds(question.form, question.n) if question.form else ()
        return Work(question, prompt, holds)

    return lay_out


def _serve(told: LmmSettings, application: Starlette, stack: ExitStack) -> int:
    try:
        listener = socket.create_server((told.host, told.lmm_port), backlog=512)
    except OSError as error:
        raise Rejected(f"cannot listen on {told.host}:{told.lmm_port}: {os.strerror(error.errno or 0)}") from error
    # asyncio sets this only on sockets whose protocol number is stated: bodies would wait 40 ms for acknowledgements.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
            lifespan="off",
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="rest", daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(timeout=_DRAIN_S + 5)
        listener.close()

    stack.callback(stop)
    while not server.started:
        if not thread.is_alive():
            raise Unavailable("the HTTP server did not start")
        thread.join(timeout=0.02)
    return int(listener.getsockname()[1])
