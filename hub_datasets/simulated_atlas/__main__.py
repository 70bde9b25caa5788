"""Write a simulated atlas: `python -m hub_datasets.simulated_atlas --output_dir OUT --seed 0`."""

from __future__ import annotations

import argparse
import inspect

from .simulate import simulate_atlas


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments, which are those of `simulate_atlas`, and write the atlas."""
    parser = argparse.ArgumentParser(
        prog="python -m hub_datasets.simulated_atlas",
        description=inspect.getdoc(simulate_atlas),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output_dir", required=True)
    for name, parameter in inspect.signature(simulate_atlas).parameters.items():
        if name == "output_dir":
            continue
        if parameter.default is False:
            parser.add_argument(f"--{name}", action="store_true")
        else:
            parser.add_argument(f"--{name}", type=type(parameter.default), default=parameter.default)
    options = vars(parser.parse_args(arguments))
    try:
        output_dir = simulate_atlas(**options)
    except (ValueError, FileExistsError, ImportError) as error:
        parser.exit(1, f"{error}\n")
    print(f"Wrote {output_dir}: see its README.md")


if __name__ == "__main__":
    main()
