"""What a machine with a GPU is asked: are the CUDA ops right, and how fast are they? `run.sh` asks it all."""
