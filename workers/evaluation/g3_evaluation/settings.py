"""What the room can be told by the environment; the command's options win."""

from g3_kit.settings import RoomSettings


class EvaluationSettings(RoomSettings):
    """Settings of the command; field `x` is read from `G3_X`. Empty: the stack that `g3 up` runs here."""

    embedding_target: str = ""
    retrieval_target: str = ""
    verification_target: str = ""
