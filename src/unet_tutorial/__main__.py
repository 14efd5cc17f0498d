"""``python -m unet_tutorial``: the command line."""

from unet_tutorial.cli import app

# Guarded, because worker processes import this file again where they are spawned.
if __name__ == "__main__":
    app(prog_name="python -m unet_tutorial")
