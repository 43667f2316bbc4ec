"""`python -m g3_alignment init | convert | describe`: make a checkpoint, from others' files too; say what one is."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from g3_kit.errors import G3Error, Missing, Rejected

from g3_alignment.checkpoint import Description, describe, initialise, load, save
from g3_alignment.configuration import PRESETS, AlignmentConfiguration, preset
from g3_alignment.model import AlignmentModel
from g3_alignment.open_clip_weights import load_tower_weights
from g3_alignment.precision import STORED
from g3_alignment.published import load_location_encoder, load_published


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when done; 1 with a sentence on standard error when the input is wrong; 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "init":
            model = initialise(_configuration(options), options.seed)
            if options.tower_weights is not None:
                load_tower_weights(model, options.tower_weights, options.tower_sha256)
            save(model, options.out, dtype=options.dtype)
        elif options.command == "convert":
            save(_converted(options), options.out, dtype=options.dtype)
        sys.stdout.write(_text(describe(options.file if options.command == "describe" else options.out)))
    except G3Error as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="g3_alignment", description="Checkpoints of the G3 alignment model.")
    commands = parser.add_subparsers(dest="command", required=True)
    init = commands.add_parser("init", help="write an untrained model, deterministic by its seed")
    made_of = init.add_mutually_exclusive_group(required=True)
    made_of.add_argument("--preset", choices=PRESETS)
    made_of.add_argument("--architecture", metavar="NAME", help="an open_clip architecture, for example ViT-B-16")
    made_of.add_argument("--config", metavar="FILE", type=Path, help="JSON: a full configuration, or open_clip's")
    init.add_argument("--seed", type=int, default=0)
    init.add_argument("--tower-weights", metavar="FILE", type=Path, help="an open_clip checkpoint for the towers")
    init.add_argument("--tower-sha256", metavar="HEX", help="what that file's SHA-256 must be")
    convert = commands.add_parser("convert", help="write a model made of files that others published")
    of = convert.add_mutually_exclusive_group(required=True)
    of.add_argument("--published", metavar="FILE", type=Path, help="the reference's checkpoint, a whole model")
    of.add_argument("--towers", metavar="FILE", type=Path, help="an open_clip checkpoint; all else is of --heads")
    of.add_argument("--geoclip", metavar="FILE", type=Path, help="GeoCLIP's location encoder; all else is of --model")
    convert.add_argument("--sha256", metavar="HEX", help="what that file's SHA-256 must be")
    convert.add_argument("--heads", "--model", dest="model", metavar="FILE", type=Path, help="a checkpoint of ours")
    convert.add_argument("--model-sha256", metavar="HEX", help="what the SHA-256 of --heads or --model must be")
    for command in (init, convert):
        command.add_argument("--out", metavar="FILE", type=Path, required=True)
        command.add_argument("--dtype", choices=STORED, default="float32", help="how the file stores the weights")
    about = commands.add_parser("describe", help="print configuration, size and fingerprint as JSON")
    about.add_argument("file", metavar="FILE", type=Path)
    return parser


def _configuration(options: argparse.Namespace) -> AlignmentConfiguration:
    if options.preset is not None:
        return preset(options.preset)
    if options.architecture is not None:
        return AlignmentConfiguration.of_tower(options.architecture)
    if not options.config.is_file():
        raise Missing(f"There is no file {options.config}.", field="config")
    return AlignmentConfiguration.from_json(options.config.read_text("utf-8"))


def _converted(options: argparse.Namespace) -> AlignmentModel:
    if (options.published is None) == (options.model is None):
        raise Rejected("--towers needs --heads FILE, --geoclip needs --model FILE, --published neither.", field="model")
    if options.published is not None:
        return load_published(options.published, options.sha256)
    model = load(options.model, sha256=options.model_sha256)
    if options.towers is not None:
        load_tower_weights(model, options.towers, options.sha256)
    else:
        load_location_encoder(model, options.geoclip, options.sha256)
    return model


def _text(description: Description) -> str:
    document = {
        "fingerprint": description.fingerprint.full,
        "fingerprint_gps": description.fingerprint.gps,
        "dimension": description.configuration.dimension,
        "parameters": description.parameters,
        "dtype": description.dtype,
        "trained": description.trained,
        "configuration": asdict(description.configuration),
    }
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
